import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import type {
  SpamdTrainer,
  SpamdTrainerOptions,
} from '../../../src/trainers/spamassassin/spamd.ts';
import type { Outcome } from '../../../src/trainers/trainer.ts';
import { until } from '../../support/until.ts';
import type { TaughtMessage } from '../../../src/trainers/spamassassin/taught.ts';
import { NEVER, PATIENCE_MS, TaughtInMemory, example, prove, trainerAt } from './connect.ts';
import {
  CLOSES,
  DID_REMOVE,
  DID_SET,
  OK,
  RESETS,
  SILENCE,
  ScriptedSpamd,
  atMessages,
  inTurn,
  isCanary,
} from './scripted-spamd.ts';
import type { Act, Play } from './scripted-spamd.ts';

const SPAM = example('spam', 'Subject: a\n\nbuy now');
const HAM = example('ham', 'Subject: a\n\nbuy now, in other bytes');
/** What is asked before the first message. */
const CHECK = ['probe', '~set ham', '~set ham', '~remove', '~remove'];
const LOCK_MS = 10_000;

/** What was told since the check. */
function toldAfterCheck({ told }: ScriptedSpamd): string[] {
  expect(told.slice(0, CHECK.length)).toEqual(CHECK);
  return told.slice(CHECK.length);
}

function learn(trainer: SpamdTrainer, message = SPAM): Promise<Outcome> {
  return trainer.learn(message, NEVER);
}

/** A spamd that acts so, and a trainer for it. */
async function start(play?: Play, options: Partial<SpamdTrainerOptions> = {}) {
  const spamd = await ScriptedSpamd.start(play);
  return { spamd, trainer: trainerAt(spamd, options) };
}

/** The same once a message is proven; nothing was told since. */
async function afterProof(message = SPAM, options: Partial<SpamdTrainerOptions> = {}) {
  const { spamd, trainer } = await start(undefined, options);
  await prove(trainer, message);
  spamd.requests.length = 0;
  return { spamd, trainer };
}

/** The same with what was taught kept. */
async function afterSpam() {
  const taught = new TaughtInMemory();
  return { ...(await afterProof(SPAM, { taught })), taught };
}

describe('the proof', () => {
  test('of a new message: DidSet, and the same again without it', async () => {
    const spamd = await ScriptedSpamd.start();
    expect(await prove(trainerAt(spamd), SPAM)).toEqual(['learned', 'duplicate']);
    expect(toldAfterCheck(spamd)).toEqual(['set spam', 'set spam']);
  });

  test('of a known message: it is forgotten, learned and known again', async () => {
    const spamd = await ScriptedSpamd.start();
    spamd.seen.set(SPAM.body.toString(), 'spam');
    expect(await prove(trainerAt(spamd), SPAM)).toEqual(['duplicate']);
    const told = ['set spam', 'remove', 'set spam', 'set spam'];
    expect(toldAfterCheck(spamd)).toEqual(told);
    expect(spamd.seen.get(SPAM.body.toString())).toBe('spam');
  });

  test('holds for the very buffer and its verdict: equal bytes of another one prove nothing', async () => {
    const { spamd, trainer } = await start();
    await learn(trainer);
    spamd.requests.length = 0;
    await learn(trainer, { ...SPAM, body: Buffer.from(SPAM.body) });
    expect(spamd.told).toEqual(['set spam', 'remove', 'set spam', 'set spam']);
    await learn(trainer, { ...SPAM, verdict: 'ham' });
    // Whatever it is now, it isn't known as spam because of what was said before.
    spamd.play = inTurn(OK, OK);
    spamd.requests.length = 0;
    expect(await learn(trainer)).toMatchObject({ kind: 'refused' });
    expect(spamd.told).toContain('remove');
  });

  test('is given once: nothing that was said before a proof, or a failure, proves anything later', async () => {
    const { spamd, trainer } = await afterProof();
    // It cannot be written now, and says what it says of a known message.
    spamd.play = () => OK;
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured' });
    spamd.play = () => undefined;
    expect(await learn(trainer, HAM)).toEqual({ kind: 'learned' });
    spamd.play = inTurn(RESETS);
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'deferred' });
    spamd.play = inTurn(OK);
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'refused' });
  });

  test('is not given by DidSet again and again, and the next one waits for a canary', async () => {
    const { spamd, trainer } = await start(inTurn(DID_SET));
    expect(await prove(trainer, SPAM, 2)).toEqual(['learned', 'learned']);
    spamd.requests.length = 0;
    spamd.play = () => DID_SET;
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured' });
    expect(spamd.told).not.toContain('set spam');
  });

  test('of a message that bayes_ignore_from names there is none: refused, as others are learned', async () => {
    const spamd = await ScriptedSpamd.start(inTurn(OK));
    expect(await learn(trainerAt(spamd))).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('bayes_ignore_from') as string,
    });
    const told = ['set spam', 'remove', ...CHECK, 'set spam'];
    expect(toldAfterCheck(spamd)).toEqual(told);
  });

  test('is tried once more where Bayes was away for these two answers only', async () => {
    const spamd = await ScriptedSpamd.start(inTurn(OK, OK, undefined));
    expect(await prove(trainerAt(spamd), SPAM)).toEqual(['learned', 'duplicate']);
  });

  test.each([
    ['Set says nothing then', [OK, DID_REMOVE, OK], ['deferred']],
    ['Set is not answered then', [OK, DID_REMOVE, CLOSES], ['deferred']],
    ['the last one is not answered', [OK, DID_REMOVE, DID_SET, CLOSES], ['deferred']],
    ['Set says DidSet again and again', [OK, DID_REMOVE, DID_SET, DID_SET], ['learned']],
    ['Remove is not answered', [OK, CLOSES], ['deferred']],
  ] as const)('of a known message is none where %s', async (_what, acts, kinds) => {
    const spamd = await ScriptedSpamd.start(inTurn(...acts));
    expect([(await learn(trainerAt(spamd))).kind]).toEqual(kinds);
  });

  test('is found by the next try, where the message was forgotten and the try ended', async () => {
    const spamd = await ScriptedSpamd.start(inTurn(undefined, undefined, RESETS, undefined));
    spamd.seen.set(SPAM.body.toString(), 'spam');
    const trainer = trainerAt(spamd);
    expect((await learn(trainer)).kind).toBe('deferred');
    expect(spamd.seen.has(SPAM.body.toString())).toBe(false);
    expect(await prove(trainer, SPAM)).toEqual(['learned', 'duplicate']);
  });
});

describe('a message', () => {
  test('that is larger than SPAMD_MAX_BYTES is refused, and spamd hears nothing of it', async () => {
    const { spamd, trainer } = await start(undefined, { maxBytes: 10 });
    const reason = 'larger than SPAMD_MAX_BYTES (10)';
    expect(await learn(trainer)).toEqual({ kind: 'refused', reason });
    expect(spamd.requests).toEqual([]);
    expect(await prove(trainer, example('spam', '0123456789'))).toEqual(['learned', 'duplicate']);
  });

  test('never shows in a reason', async () => {
    const body = 'Subject: the secret of this message, which is long';
    const says = `SPAMD/1.0 75 TEMPFAIL ${body} \u0007<id@example>\r\n`;
    const spamd = await ScriptedSpamd.start(inTurn({ says }));
    expect(await learn(trainerAt(spamd), example('ham', body))).toEqual({
      kind: 'deferred',
      reason: '75 TEMPFAIL [mail] ?<id>',
      answered: true,
    });
  });

  test('waits for no other, and two at a time share the check', async () => {
    const { spamd, trainer } = await start();
    const messages = [SPAM, HAM].map((each, index) => ({ ...each, key: `${index}.eml` }));
    const kinds = await Promise.all(messages.map((message) => prove(trainer, message)));
    expect(kinds).toEqual([
      ['learned', 'duplicate'],
      ['learned', 'duplicate'],
    ]);
    expect(toldAfterCheck(spamd).sort()).toEqual(['set ham', 'set ham', 'set spam', 'set spam']);
  });

  test('that is aborted is nobody’s failure', async () => {
    const { spamd, trainer } = await start(inTurn(SILENCE));
    const aborting = new AbortController();
    const learning = trainer.learn(SPAM, aborting.signal);
    await until('it was sent', () => spamd.told.includes('set spam'));
    aborting.abort();
    expect(await learning).toEqual({ kind: 'aborted' });
    spamd.play = () => undefined;
    spamd.requests.length = 0;
    await learn(trainer);
    expect(spamd.told[0]).toBe('set spam');
  });
});

describe('a turned verdict', () => {
  const [spam, ham] = [SPAM.body.toString(), HAM.body.toString()];

  test.each([
    ['in other bytes has the earlier ones forgotten first', HAM, ['remove'], [[ham, 'ham']]],
    ['in the same bytes needs nothing more', { ...SPAM, verdict: 'ham' }, [], [[spam, 'ham']]],
    [
      'of another key needs nothing more',
      { ...HAM, key: 'b.eml' },
      [],
      [
        [spam, 'spam'],
        [ham, 'ham'],
      ],
    ],
    [
      'that is none, in other bytes, is counted once all the same',
      { ...HAM, verdict: 'spam' },
      ['remove'],
      [[ham, 'spam']],
    ],
  ])('%s', async (_what, message, toldFirst, seen) => {
    const { spamd, trainer } = await afterSpam();
    expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
    const set = `set ${message.verdict}`;
    expect(spamd.told).toEqual([...toldFirst, set, set]);
    expect([...spamd.seen]).toEqual(seen);
  });

  /** A trainer after a process that was killed when it had told of SPAM. */
  async function afterKill(
    unsettled: TaughtMessage['unsettled'] & object,
    options: Partial<SpamdTrainerOptions>,
  ) {
    const taught = new TaughtInMemory();
    const { verdict, body } = SPAM;
    taught.messages.set(SPAM.key, { verdict, body, stands: true, unsettled });
    return start(undefined, { taught, ...options });
  }

  test.each([true, false])(
    'back, while spamd may still carry out what a killed process told (to forget: %s)',
    async (forgets) => {
      const { spamd, trainer } = await afterKill(
        { since: 0, forgets },
        {
          clock: { ...systemClock, wall: () => 1_000 },
        },
      );
      expect((await learn(trainer)).kind).toBe(forgets ? 'held' : 'learned');
      expect(spamd.told.includes('set spam')).toBe(!forgets);
    },
  );

  test('waits for a killed process no longer where the clock was set back by a year', async () => {
    let now = 0;
    const clock = { ...systemClock, wall: () => 1_000 + now, monotonic: () => now };
    const { trainer } = await afterKill({ since: 366 * 86_400_000, forgets: false }, { clock });
    const outcome = await learn(trainer, HAM);
    if (outcome.kind !== 'held') throw new Error(outcome.kind);
    now += outcome.waitMs ?? Infinity;
    expect(await prove(trainer, HAM)).toEqual(['learned', 'duplicate']);
  });

  test('is found after a kill, as its bytes are kept before they are sent', async () => {
    const spamd = await ScriptedSpamd.start();
    const taught = new TaughtInMemory();
    const kept: unknown[] = [];
    spamd.play = atMessages(() => {
      kept.push(taught.messages.get('a.eml')?.verdict);
      return undefined;
    });
    await learn(trainerAt(spamd, { taught }));
    expect(kept).toEqual(['spam']);
  });

  test('finds the earlier one still where Bayes could forget and learn nothing for a while', async () => {
    const { spamd, trainer } = await afterSpam();
    spamd.play = () => OK;
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'misconfigured' });
    spamd.play = () => undefined;
    expect(await prove(trainer, HAM)).toEqual(['learned', 'duplicate']);
    expect([...spamd.seen]).toEqual([[HAM.body.toString(), 'ham']]);
  });

  test('goes on where the earlier bytes are known no more, and waits where that is not answered', async () => {
    const { spamd, taught, trainer } = await afterSpam();
    spamd.play = inTurn(RESETS);
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'deferred', answered: false });
    expect(taught.messages.get('a.eml')?.verdict).toBe('spam');
    spamd.seen.clear();
    spamd.play = () => undefined;
    expect(await prove(trainer, HAM)).toEqual(['learned', 'duplicate']);
    expect(taught.messages.get('a.eml')).toMatchObject({ verdict: 'ham', body: HAM.body });
  });

  test('is what may have been learned where spamd, told to learn it, does not answer', async () => {
    const { spamd, taught, trainer } = await afterSpam();
    // The earlier one is forgotten, and the answer to the new one is lost.
    spamd.play = inTurn(undefined, RESETS);
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'deferred', answered: false });
    expect(taught.messages.get('a.eml')).toMatchObject({ verdict: 'ham', body: HAM.body });
  });

  test('leaves what another user was taught of the same message since', async () => {
    const { spamd, taught, trainer } = await afterSpam();
    const [key, message] = [...taught.messages][0] ?? ['', undefined];
    if (message !== undefined) taught.messages.set(key, { ...message, stands: false });
    await prove(trainer, HAM);
    expect([...spamd.seen.values()]).toEqual(['spam', 'ham']);
  });

  test('of a message that was known already finds its bytes, too', async () => {
    const spamd = await ScriptedSpamd.start();
    spamd.seen.set(SPAM.body.toString(), 'spam');
    const trainer = trainerAt(spamd, { taught: new TaughtInMemory() });
    expect(await prove(trainer, SPAM)).toEqual(['duplicate']);
    await prove(trainer, HAM);
    expect([...spamd.seen]).toEqual([[HAM.body.toString(), 'ham']]);
  });
});

describe('a TELL that was given up', () => {
  test('keeps another verdict of its key back until it is answered, and no other message', async () => {
    const spamd = await ScriptedSpamd.start();
    const taught = new TaughtInMemory();
    const trainer = trainerAt(spamd, { taught, timeoutMs: 2_000 });
    await prove(trainer, example('ham', 'the first', 'first.eml'));
    spamd.play = inTurn(SILENCE);
    expect(await learn(trainer)).toMatchObject({ kind: 'deferred', answered: false });
    spamd.play = () => undefined;
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'held' });
    expect(await prove(trainer, example('ham', 'another', 'b.eml'))).toEqual([
      'learned',
      'duplicate',
    ]);
    // It wakes, and carries out what it was sent.
    spamd.seen.set(SPAM.body.toString(), 'spam');
    const [late] = spamd.sockets;
    late?.end(DID_SET.says);
    await expect.poll(() => prove(trainer, HAM)).toEqual(['learned', 'duplicate']);
    expect([...spamd.seen.values()]).not.toContain('spam');
  });

  test.each([
    ['before', PATIENCE_MS],
    ['after', 2_000],
  ])('is still owed when the spool is lost, %s its time was over', async (_, timeoutMs) => {
    const { spamd, trainer } = await start(inTurn(SILENCE), { timeoutMs });
    const session = new AbortController();
    const learning = trainer.learn(SPAM, session.signal);
    await until('it was sent', () => spamd.told.includes('set spam'));
    if (timeoutMs < PATIENCE_MS) await learning;
    session.abort();
    await learning;
    await new Promise((wake) => setTimeout(wake, 50));
    spamd.play = () => undefined;
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'held' });
  });

  test('does not keep the same verdict back', async () => {
    const { spamd, trainer } = await start(inTurn(SILENCE), { timeoutMs: 2_000 });
    await learn(trainer);
    spamd.play = () => undefined;
    expect(await prove(trainer, SPAM)).toEqual(['learned', 'duplicate']);
  });
});

describe('spamd is checked', () => {
  test.each([
    ['nobody listening', RESETS, 'misconfigured'],
    ['another service', { says: '220 mx ESMTP\r\n' }, 'misconfigured'],
    ['half an answer', { says: 'SPAMD/1.1 0 EX' }, 'unavailable'],
    [
      'TELL switched off',
      {
        says: 'SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.\r\n',
      },
      'misconfigured',
    ],
  ] as const)(
    'before the first message, which %s keeps from being sent',
    async (_what, act, kind) => {
      const spamd = await ScriptedSpamd.start(() => act);
      expect(await learn(trainerAt(spamd))).toMatchObject({ kind });
      expect(new Set(spamd.told)).toEqual(new Set(['probe']));
    },
  );

  test('after each failure, not after each message', async () => {
    const { spamd, trainer } = await afterProof();
    spamd.play = inTurn({ says: 'SPAMD/1.0 69 Service Unavailable: away\r\n' }, undefined);
    expect(await learn(trainer, HAM)).toMatchObject({ kind: 'unavailable', contact: 'answered' });
    spamd.requests.length = 0;
    expect(await prove(trainer, HAM)).toEqual(['learned', 'duplicate']);
    expect(toldAfterCheck(spamd)).toEqual(['set ham', 'set ham']);
  });

  test('by a canary that a crash left learned, which is taken away, and the same once more', async () => {
    const { spamd, trainer } = await start();
    await trainer.diagnose(NEVER);
    const [, canary] = spamd.requests;
    spamd.seen.set(canary?.body.toString('latin1') ?? '', 'ham');
    spamd.requests.length = 0;
    expect(await trainer.diagnose(NEVER)).toEqual({ kind: 'works' });
    // What a crash leaves of it now is taken away the next time, too.
    const tried = spamd.requests.filter(({ body }) => isCanary(body));
    expect(new Set(tried.map(({ body }) => body.toString('latin1'))).size).toBe(1);
    expect([...spamd.seen]).toEqual([]);
  });

  test.each([
    ['deaf', [OK, OK, OK, OK], 'misconfigured', 'SPAMD_USER'],
    ['journaling', [DID_SET, DID_SET, OK, OK], 'misconfigured', 'bayes_learn_to_journal 0'],
    ['read-only', [DID_SET, DID_SET, DID_REMOVE, DID_REMOVE], 'misconfigured', 'bayes_sql_dsn'],
    ['unclear, for now', [OK, DID_SET, DID_REMOVE, OK], 'unavailable', undefined],
  ] as const)('and found %s', async (_what, acts, kind, cure) => {
    let number = 0;
    const { trainer } = await start(({ body }) =>
      isCanary(body) ? acts[number++ % 4] : undefined,
    );
    const hint = cure && (expect.stringContaining(cure) as string);
    expect(await trainer.diagnose(NEVER)).toMatchObject({ kind, ...(cure && { hint }) });
  });

  test('and one that is aborted is begun anew for who waits for it', async () => {
    const { spamd, trainer } = await start(() => SILENCE);
    const aborting = new AbortController();
    const [first, second] = [trainer.diagnose(aborting.signal), trainer.diagnose(NEVER)];
    await until('it was asked', () => spamd.requests.length === 1);
    spamd.play = () => undefined;
    aborting.abort();
    expect([await first, await second]).toEqual([{ kind: 'aborted' }, { kind: 'works' }]);
  });
});

describe('a connection that is closed without a byte', () => {
  test('is a child’s that was killed, where a question is answered', async () => {
    const spamd = await ScriptedSpamd.start(inTurn(CLOSES));
    expect(await learn(trainerAt(spamd))).toEqual({
      kind: 'deferred',
      reason: expect.stringContaining('CLOSED') as string,
      answered: false,
    });
  });

  test.each([
    ['is spamd’s no where a question is closed upon, too', CLOSES, '--allowed-ips'],
    [
      'may hide an error that a question shows',
      { says: 'SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled.\r\n' },
      '--allow-tell',
    ],
  ])('%s', async (_what, atQuestion, cure) => {
    const { spamd, trainer } = await afterProof(HAM);
    spamd.play = ({ body }) => (body.length > 0 ? CLOSES : atQuestion);
    const hint = expect.stringContaining(cure) as string;
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured', hint });
  });

  test('once is a reload: the next question tells', async () => {
    let number = 0;
    const spamd = await ScriptedSpamd.start(() => (number++ === 0 ? RESETS : undefined));
    expect(await trainerAt(spamd).diagnose(NEVER)).toEqual({ kind: 'works' });
  });
});

describe('an answer without DidSet that took ten seconds', () => {
  /** Each TELL of a message, or of a canary, takes so long; time passes for nothing else. */
  async function slow(act: Act = OK, probeMs = 0) {
    let now = 0;
    const state = { tookMs: LOCK_MS, act };
    const spamd = await ScriptedSpamd.start(({ body }) => {
      now += body.length === 0 ? probeMs : state.tookMs;
      return body.length === 0 || state.tookMs < LOCK_MS ? undefined : state.act;
    });
    const trainer = trainerAt(spamd, { clock: { ...systemClock, monotonic: () => now } });
    const pass = (ms: number): void => void (now += ms);
    return { spamd, trainer, pass, state };
  }

  const locked = {
    kind: 'unavailable',
    contact: 'answered',
    reason: expect.stringContaining('locked') as string,
  };
  const forEver = { kind: 'misconfigured', hint: expect.stringContaining('bayes.lock') as string };

  test('is a lock, and a wrong setting only after eleven minutes of nothing else', async () => {
    const { trainer, pass } = await slow();
    for (let second = 0; second < 650; second += 50) {
      expect(await learn(trainer)).toMatchObject(locked);
      pass(40_000);
    }
    pass(10_000);
    expect(await learn(trainer)).toMatchObject(forEver);
    expect(await learn(trainer)).toMatchObject(forEver);
  });

  test('begins anew once Bayes was used in between', async () => {
    const { trainer, pass, state } = await slow();
    expect(await learn(trainer)).toMatchObject(locked);
    pass(400_000);
    expect(await learn(trainer)).toMatchObject(locked);
    state.tookMs = 10;
    expect(await prove(trainer, SPAM)).toEqual(['learned', 'duplicate']);
    state.tookMs = LOCK_MS;
    pass(300_000);
    expect(await learn(trainer, HAM)).toMatchObject(locked);
  });

  test('begins anew after hours without a look', async () => {
    const { trainer, pass } = await slow();
    expect(await learn(trainer)).toMatchObject(locked);
    pass(3_600_000);
    expect(await learn(trainer)).toMatchObject(locked);
  });

  test.each([1, 2, 3, 4])('is no proof at TELL %i of a known message', async (slowOne) => {
    const { spamd, trainer, state } = await slow();
    state.tookMs = 0;
    await prove(trainer, HAM);
    spamd.seen.set(SPAM.body.toString(), 'spam');
    const play = spamd.play;
    spamd.play = (request, number) => {
      const nth = spamd.told.filter((told) => !told.includes('~') && told !== 'probe').length - 2;
      state.tookMs = nth === slowOne ? LOCK_MS : 0;
      return play(request, number);
    };
    expect(await learn(trainer)).toMatchObject(locked);
  });

  test('is no lock where a question waits as well: all children are busy', async () => {
    const { trainer, pass } = await slow(OK, 3_000);
    for (let minute = 0; minute < 15; minute += 1) {
      const busy = { kind: 'unavailable', reason: 'all its children are busy' };
      expect(await learn(trainer)).toMatchObject(busy);
      pass(60_000);
    }
  });

  test('may be the work of a large message, but for a while longer', async () => {
    const { trainer, state } = await slow();
    state.tookMs = 0;
    await prove(trainer, HAM);
    const large = example('spam', Buffer.alloc(4_000_000, 'words '));
    await learn(trainer, large);
    state.tookMs = 6_000;
    expect(await learn(trainer, large)).toMatchObject({ kind: 'duplicate' });
    state.tookMs = LOCK_MS;
    expect(await learn(trainer, large)).toMatchObject(locked);
  });

  test('with DidSet is a DidSet', async () => {
    const { trainer, state, spamd } = await slow(DID_SET);
    state.tookMs = 0;
    await prove(trainer, HAM);
    state.tookMs = LOCK_MS;
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(spamd.most).toBe(1);
  });
});

test('of itself it tells nothing but its name', async () => {
  const spamd = await ScriptedSpamd.start(atMessages(() => undefined));
  const trainer = trainerAt(spamd);
  expect([trainer.filter, trainer.name]).toEqual(['spamassassin', `127.0.0.1:${spamd.port}`]);
  expect(trainer).toMatchObject({ concurrency: 1, longestPostMs: 600_000 });
  expect(spamd.requests).toEqual([]);
});
