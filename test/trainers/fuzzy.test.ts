import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { fuzzyFlags } from '../../src/fuzzy-flags.ts';
import type { RspamdTrainer, RspamdTrainerOptions } from '../../src/trainers/rspamd.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act, FaultRequest } from '../faults/fault-server.ts';
import {
  CLOSES,
  NOT_FOUND,
  RESETS,
  SILENCE,
  SUCCESS,
  UNAUTHORIZED,
  answer,
  failure,
  learns,
  plays,
  raw,
} from '../faults/plays.ts';
import type { FuzzyLists } from '../../src/trainers/fuzzy.ts';
import { nginxPage } from '../faults/proxy-pages.ts';
import { MESSAGE, example, trainerAt } from './connect.ts';

/** What rspamd 3.4 and 4.1.5 were heard to say of hashes for their fuzzy storage. */
const ADDED = answer('200 OK', '{"success":true,"hashes":["8a427ec0a8271d4f"]}');
const NO_CONTENT = failure(404, 'No content to generate fuzzy for flag 11');
const NO_RULE = failure(404, 'No fuzzy rules matched for flag 11');
const TIMEOUT = failure(500, 'IO timeout with fuzzy storage');

const NEVER = new AbortController().signal;

function isOf(path: string): (request: FaultRequest) => boolean {
  return (request) => request.path === path;
}

/** A server whose storage acts so, and adds and deletes otherwise. */
function serverWith(path: string, act: Act, times?: number): Promise<FaultServer> {
  const play = plays(
    { when: isOf(path), act, ...(times !== undefined && { times }) },
    { when: ({ path: each }) => each.startsWith('/fuzzy'), act: ADDED },
  );
  return FaultServer.start({ play });
}

function trainerOf(
  server: FaultServer,
  options: Partial<RspamdTrainerOptions> = {},
  flags = 'spam:11:5,ham:13',
): RspamdTrainer {
  return trainerAt(server.url, { fuzzy: fuzzyFlags(['spam', 'ham'])(flags), ...options });
}

function learn(trainer: RspamdTrainer, verdict: 'spam' | 'ham', body = MESSAGE) {
  return trainer.learn(example(verdict, body), NEVER);
}

/** Path, flag and weight of each request. */
function said({ requests }: FaultServer): string[] {
  return requests.map(({ path, headers: { flag = '', weight = '' } }) =>
    [path, flag, weight].join(' ').trimEnd(),
  );
}

/** What was added to which list, as the state dir keeps it. */
class Lists implements FuzzyLists {
  readonly entries = new Map<string, { readonly verdict: string; readonly body: Buffer }>();

  last(key: string) {
    return Promise.resolve(this.entries.get(key));
  }

  put(key: string, verdict: string, body: Buffer) {
    this.entries.set(key, { verdict, body });
    return Promise.resolve();
  }
}

describe('a message', () => {
  test('enters its list when it is proven, and nothing is deleted for it', async () => {
    await using server = await serverWith('/none', SUCCESS);
    const trainer = trainerOf(server, { fuzzyLists: new Lists() });
    expect(await learn(trainer, 'spam')).toEqual({ kind: 'learned' });
    expect(said(server)).toEqual(['/learnspam']);
    expect(await learn(trainer, 'spam')).toEqual({ kind: 'duplicate' });
    const all = ['/learnspam', '/learnspam', '/fuzzyadd 11 5'];
    expect(said(server)).toEqual(all);
    expect(server.requests.at(-1)?.body.equals(MESSAGE)).toBe(true);
    // What was added is not added again.
    await learn(trainer, 'spam');
    expect(said(server)).toEqual([...all, '/learnspam']);
  });

  test('that is turned leaves its list before it is learned, and enters the other one later', async () => {
    await using server = await serverWith('/none', SUCCESS);
    const fuzzyLists = new Lists();
    let now = 1_700_000_000_000;
    const trainer = trainerOf(server, { fuzzyLists, clock: { ...systemClock, wall: () => now } });
    const teach = async (verdict: 'spam' | 'ham', posts: number) => {
      const body = Buffer.from(MESSAGE);
      const before = server.requests.length;
      const outcomes: unknown[] = [];
      for (let post = 0; post < posts; post += 1) {
        const outcome = await learn(trainer, verdict, body);
        outcomes.push(outcome.kind === 'held' ? outcome.waitMs : outcome.kind);
      }
      return { outcomes, said: said(server).slice(before) };
    };
    expect((await teach('spam', 2)).outcomes).toEqual(['learned', 'duplicate']);
    expect(await teach('ham', 2)).toEqual({
      outcomes: ['learned', 70_000],
      said: ['/fuzzydel 11', '/learnham', '/learnham'],
    });
    now += 69_000;
    expect(await teach('ham', 1)).toEqual({ outcomes: [1_000], said: ['/learnham'] });
    // The storage may have been told to add it just before the first deletion.
    now += 1_000;
    expect(await teach('ham', 1)).toEqual({
      outcomes: [70_000],
      said: ['/learnham', '/fuzzydel 11'],
    });
    // Another process goes on where this one was; a clock that is set back makes nobody wait longer.
    now -= 1_000_000;
    expect((await teach('ham', 1)).outcomes).toEqual([70_000]);
    now += 70_000;
    expect(await teach('ham', 1)).toEqual({
      outcomes: ['duplicate'],
      said: ['/learnham', '/fuzzyadd 13 1'],
    });
    expect(fuzzyLists.entries.get('a.eml')?.verdict).toBe('ham');
  });

  test('that is turned back before it has entered the other list goes the same way', async () => {
    await using server = await serverWith('/none', SUCCESS);
    let now = 1_700_000_000_000;
    const trainer = trainerOf(server, {
      fuzzyLists: new Lists(),
      clock: { ...systemClock, wall: () => now },
    });
    const bodies = [MESSAGE, Buffer.from(MESSAGE), Buffer.from(MESSAGE)] as const;
    for (let post = 0; post < 2; post += 1) await learn(trainer, 'spam', bodies[0]);
    await learn(trainer, 'ham', bodies[1]);
    const kinds: string[] = [];
    for (let post = 0; post < 4; post += 1) {
      kinds.push((await learn(trainer, 'spam', bodies[2])).kind);
      if (post > 0) now += 70_000;
    }
    expect(kinds).toEqual(['learned', 'held', 'held', 'duplicate']);
    const fuzzy = said(server).filter((each) => each.startsWith('/fuzzy'));
    expect(fuzzy).toEqual(['/fuzzyadd 11 5', '/fuzzydel 11', '/fuzzydel 11', '/fuzzyadd 11 5']);
  });

  test('that is known from an earlier process is added, and so is one with nothing for Bayes', async () => {
    const known = failure(208, '<a@b> has been already learned as spam, ignore it');
    const short = answer('204 <a@b> contains less tokens than required: 3 < 11');
    for (const [act, kind] of [
      [known, 'duplicate'],
      [short, 'refused'],
    ] as const) {
      await using server = await serverWith('/learnspam', act);
      expect(await learn(trainerOf(server), 'spam')).toMatchObject({ kind });
      expect(said(server)).toEqual(['/learnspam', '/fuzzyadd 11 5']);
    }
  });

  test('that is never recognised is added with the second 200: it may end without a proof', async () => {
    await using server = await serverWith('/learnspam', SUCCESS);
    const trainer = trainerOf(server);
    const body = Buffer.from(MESSAGE);
    for (let post = 0; post < 2; post += 1) await learn(trainer, 'spam', body);
    const once = ['/learnspam', '/learnspam', '/fuzzyadd 11 5'];
    expect(said(server)).toEqual(once);
    for (let post = 0; post < 2; post += 1) await learn(trainer, 'spam', body);
    expect(said(server).slice(once.length)).toEqual(once);
  });

  test('is added with the first 200 where most messages are not proven', async () => {
    await using server = await serverWith('/none', SUCCESS);
    const trainer = trainerOf(server, { isSparse: true });
    for (let post = 0; post < 2; post += 1) await learn(trainer, 'spam');
    expect(said(server)).toEqual(['/learnspam', '/fuzzyadd 11 5', '/learnspam']);
  });

  test('is only deleted where its class has no list', async () => {
    await using server = await serverWith('/none', SUCCESS);
    const fuzzyLists = new Lists();
    await fuzzyLists.put('a.eml', 'spam', Buffer.alloc(0));
    let now = 0;
    const trainer = trainerOf(
      server,
      { fuzzyLists, clock: { ...systemClock, wall: () => now } },
      'spam:11',
    );
    const kinds: string[] = [];
    for (let post = 0; post < 4; post += 1) {
      kinds.push((await learn(trainer, 'ham')).kind);
      if (post > 0) now += 70_000;
    }
    expect(kinds).toEqual(['learned', 'held', 'held', 'duplicate']);
    expect(said(server).filter((each) => each.startsWith('/fuzzy'))).toEqual([
      ...['/fuzzydel 11', '/fuzzydel 11'],
    ]);
    expect(fuzzyLists.entries.get('a.eml')?.verdict).toBe('ham');
  });

  test('with nothing to hash is learned all the same', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: ({ path }) => path.startsWith('/fuzzy'), act: NO_CONTENT }),
    });
    const trainer = trainerOf(server);
    expect(await learn(trainer, 'spam')).toEqual({ kind: 'learned' });
    expect(await learn(trainer, 'spam')).toEqual({ kind: 'duplicate' });
  });

  test('is neither posted to a storage nor changed otherwise where no flags are set', async () => {
    await using server = await serverWith('/none', SUCCESS);
    const trainer = trainerAt(server.url);
    for (let post = 0; post < 2; post += 1) await learn(trainer, 'spam');
    expect(said(server)).toEqual(['/learnspam', '/learnspam']);
  });
});

/** Lists of a message that was added as spam. */
async function afterSpam(): Promise<Lists> {
  const lists = new Lists();
  await lists.put('a.eml', 'spam', Buffer.alloc(0));
  return lists;
}

test.each([
  ['/fuzzydel', 'ham', ['unavailable', 'learned', 'held']],
  ['/fuzzyadd', 'spam', ['learned', 'unavailable', 'duplicate']],
] as const)(
  'while %s fails no message ends, and it is tried again',
  async (path, verdict, kinds) => {
    await using server = await serverWith(path, TIMEOUT, 1);
    const trainer = trainerOf(server, { fuzzyLists: await afterSpam() });
    const found: string[] = [];
    for (let post = 0; post < 3; post += 1) found.push((await learn(trainer, verdict)).kind);
    expect(found).toEqual(kinds);
    const posted = said(server).map((each) => each.split(' ')[0]);
    expect(posted.filter((each) => each === path)).toHaveLength(2);
  },
);

/** What comes of it that the storage acts so on the first hash. */
async function outcomeOf(act: Act, timeoutMs = 60_000) {
  await using server = await serverWith('/fuzzydel', act);
  const fuzzyLists = await afterSpam();
  const outcome = await learn(trainerOf(server, { timeoutMs, fuzzyLists }), 'ham');
  expect(server.requests.filter(learns)).toEqual([]);
  return outcome;
}

test.each([
  ['no rule has the flag', NO_RULE],
  ['the flag is none', failure(404, 'Unknown or missing flag')],
])('where %s the messages that need it are held back, and no others', async (_what, act) => {
  expect(await outcomeOf(act)).toEqual({
    kind: 'held',
    isOfClass: true,
    reason: expect.stringMatching(/its fuzzy storage takes no hash for flag 11 \(404/) as string,
    hint: expect.stringMatching(/the flag 11 in its fuzzy_map, or correct RSPAMD_FUZZY/) as string,
  });
});

test.each([
  ['the module is off', failure(500, 'Module disabled'), /fuzzy_check is off/],
  ['the module is not loaded', NOT_FOUND, /fuzzy_check is off/],
  ['the storage may not be written', failure(403, 'process fuzzy error'), /allow_update/],
  ['4.1.5 may not write to it', failure(503, 'process fuzzy error'), /allow_update/],
])('where %s it is misconfigured', async (_what, act, hint) => {
  expect(await outcomeOf(act)).toMatchObject({
    kind: 'misconfigured',
    password: false,
    reason: expect.stringMatching(/its fuzzy storage takes no hash for flag 11 \(/) as string,
    hint: expect.stringMatching(hint) as string,
  });
});

test.each([
  ['times out', TIMEOUT],
  ['can’t be sent to', failure(500, 'cannot send fuzzy request: Connection refused')],
  ['is not there, says 3.4 by an errno', answer('111 Connection refused')],
  ['is not there, says another errno', raw('HTTP/1.1 1 Operation not permitted\r\n\r\n')],
  ['makes rspamd close without an answer', CLOSES],
  ['makes rspamd reset the connection', RESETS],
])('a storage that %s is away, and no message is suspected', async (_what, act) => {
  expect(await outcomeOf(act)).toMatchObject({
    kind: 'unavailable',
    contact: 'none',
    hint: expect.stringMatching(/^start rspamd's fuzzy worker/) as string,
  });
});

describe('what fails although its list has taken others since', () => {
  /** Posts each letter until its hash is to be added; what comes of those that say `poison`. */
  async function addAll(act: Act, letters: readonly (readonly ['spam' | 'ham', string])[]) {
    await using server = await FaultServer.start({
      play: plays(
        { when: ({ path, body }) => path === '/fuzzyadd' && body.includes('poison'), act },
        { when: ({ path }) => path === '/fuzzyadd', act: ADDED },
      ),
    });
    const trainer = trainerOf(server);
    const outcomes: unknown[] = [];
    for (const [verdict, word] of letters) {
      const body = Buffer.from(`Subject: ${word}\r\n\r\n${word} and ${word}\r\n`);
      let outcome = await learn(trainer, verdict, body);
      if (outcome.kind === 'learned') outcome = await learn(trainer, verdict, body);
      if (word === 'poison') outcomes.push(outcome);
    }
    return outcomes;
  }

  const NOBODYS = { kind: 'unavailable', contact: 'none' };

  test.each([
    ['the controller closes', CLOSES, { kind: 'deferred', answered: false }],
    ['the controller resets', RESETS, { kind: 'deferred', answered: false }],
    ['an error answers', TIMEOUT, { kind: 'unavailable', contact: 'answered' }],
  ])('may be at fault itself: %s', async (_what, act, owns) => {
    const poison = ['spam', 'poison'] as const;
    const outcomes = await addAll(act, [
      poison,
      ['spam', 'a'],
      poison,
      poison,
      ['ham', 'b'],
      poison,
    ]);
    expect(outcomes).toMatchObject([NOBODYS, owns, NOBODYS, NOBODYS]);
  });
});

test('what is no matter of the storage means what it means for any post', async () => {
  expect(await outcomeOf(UNAUTHORIZED)).toMatchObject({ kind: 'misconfigured', password: true });
  expect(await outcomeOf(nginxPage('403 Forbidden'))).toMatchObject({
    kind: 'misconfigured',
    reason: expect.stringMatching(/^a proxy in front of rspamd/) as string,
  });
  // Silent, it may still do as it was told.
  const silent = { kind: 'unavailable', contact: 'silent' };
  expect(await outcomeOf(SILENCE, 300)).toMatchObject(silent);
  expect(await outcomeOf(nginxPage('504 Gateway Time-out'))).toMatchObject(silent);
  expect(await outcomeOf(failure(500, 'invalid command'))).toMatchObject({ kind: 'misconfigured' });
});

test('a stop ends it', async () => {
  await using server = await serverWith('/fuzzydel', SILENCE);
  const stop = new AbortController();
  const fuzzyLists = await afterSpam();
  const outcome = trainerOf(server, { fuzzyLists }).learn(example('ham', MESSAGE), stop.signal);
  await expect.poll(() => said(server)).toEqual(['/fuzzydel 11']);
  stop.abort();
  expect(await outcome).toEqual({ kind: 'aborted' });
});
