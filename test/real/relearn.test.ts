import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Settings } from '../lab/daemon.ts';
import { makeMessages, tooShortMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import type { Summary } from '../../src/relearn/summary.ts';
import { corpusIn, mboxOf as mboxOfTexts } from '../support/relearn-sources.ts';
import { call } from '../support/run-cli.ts';
import type { Result } from '../support/run-cli.ts';
import { program } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { describeReal, shownBy, startServers } from './harness.ts';
import type { RealServers } from './harness.ts';
import type { BaseVerdict } from '../../src/verdict.ts';
import { byLength } from '../support/length.ts';
import { TIME } from '../support/needs.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

/** Made messages have no URLs: rspamd recognises each of them, so that counts are exact. */
const MESSAGES = byLength({ short: 600, middle: 2_000, long: 2_000 });

let servers: RealServers;
let folder: string;

function environment(settings: Settings = {}): Settings {
  const KOPANO_SPAMD_LIB = join(folder, 'no-spool');
  return { RSPAMD_URL: servers.rspamd.url, KOPANO_SPAMD_LIB, ...settings };
}

/** A run in this process. */
class Run {
  readonly ended: Promise<Result>;
  err = '';
  readonly #stop = new AbortController();

  constructor(args: readonly string[], settings: Settings = {}, input: string | Buffer = '') {
    this.ended = call(['relearn', ...args], environment(settings), {
      input,
      stop: this.#stop.signal,
      onErr: (text) => {
        this.err += text;
      },
    });
    onTestFinished(async () => {
      this.stop();
      await this.ended;
    });
  }

  stop(): void {
    this.#stop.abort();
  }

  async summary(): Promise<Summary> {
    return summaryIn(await this.ended);
  }
}

function relearn(args: readonly string[]): Promise<Result> {
  return new Run(args).ended;
}

function summaryOf(args: readonly string[], input?: string | Buffer): Promise<Summary> {
  return new Run(['--json', ...args], {}, input).summary();
}

function summaryIn({ out, err }: Result): Summary {
  try {
    return JSON.parse(out) as Summary;
  } catch (error) {
    throw new Error(`no summary: ${out}\n${err}`, { cause: error });
  }
}

function corpusOf(messages: readonly MadeMessage[]): string {
  return corpusIn(join(folder, 'corpus'), messages);
}

/** Some of both classes. */
function someMessages(count: number, seed = 0): MadeMessage[] {
  return [...makeMessages('spam', count / 2, seed), ...makeMessages('ham', count / 2, seed)];
}

function mboxOf(messages: readonly MadeMessage[], newline = '\n'): Buffer {
  const texts = messages.map(({ raw }) => raw.toString('latin1').replaceAll('\r\n', '\n'));
  return Buffer.from(mboxOfTexts(texts).replaceAll('\n', newline), 'latin1');
}

/** Learns it, empties Bayes while rspamd goes on to show that it holds as much, and learns it again. */
async function relearnEmptied(
  corpus: string,
  held: { readonly spam: number; readonly ham: number },
): Promise<Summary> {
  const { redis, rspamd } = servers;
  await relearn([corpus]);
  // Just started, it shows at once what Bayes holds.
  await rspamd.restart();
  await until('rspamd shows what Bayes holds', async () => {
    const { spam = 0, ham = 0 } = await shownBy(rspamd);
    return spam + ham >= held.spam + held.ham;
  });
  await redis.command('FLUSHALL');
  const run = new Run(['--json', '--confirm', corpus]);
  await until('all is learned', () => run.err.includes('waits up to'));
  // Real mail is counted up to 5 % higher than it was learned.
  for (const { verdict, raw } of someMessages((held.spam + held.ham) / 10, 10_000)) {
    await rspamd.post(`/learn${verdict}`, raw);
  }
  return run.summary();
}

/** Of both classes, by Redis. */
async function learned(): Promise<number> {
  const { spam, ham } = await servers.redis.bayesCounts();
  return spam + ham;
}

function expectAbout(count: number, wanted: number, most = 1.05): void {
  expect(count).toBeGreaterThanOrEqual(wanted);
  expect(count).toBeLessThanOrEqual(wanted * most);
}

/** rspamd may not know one of the sample at once, and counts it once more. */
async function expectLearned(
  { spam, ham }: Readonly<Record<BaseVerdict, number>>,
  { sample }: Summary,
): Promise<void> {
  const more = sample?.forgotten ?? 0;
  const counts = await servers.redis.bayesCounts();
  expect(counts.spam + counts.ham).toBe(spam + ham + more);
  expect(counts.spam).toBeGreaterThanOrEqual(spam);
  expect(counts.ham).toBeGreaterThanOrEqual(ham);
}

describeReal('relearn', () => {
  beforeAll(async () => {
    servers = await startServers();
  });

  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    folder = temporaryFolder();
    await servers.redis.command('FLUSHALL');
  });

  test('teaches a folder of both classes, and tells what Bayes gained', TIME, async () => {
    const messages = [...someMessages(440), tooShortMessage('spam')];
    const corpus = corpusOf(messages);
    writeFileSync(join(corpus, 'spam', 'empty.eml'), '');
    writeFileSync(join(corpus, 'ham', 'picture.png'), Buffer.from('89504e470d0a1a0a00', 'hex'));
    const before = listing(corpus);
    const summary = await summaryOf([corpus]);
    expect(summary).toMatchObject({
      ending: 'complete',
      learned: { spam: 220, ham: 220 },
      known: { spam: 0, ham: 0 },
      refused: { spam: 1, ham: 0 },
      notMail: { spam: 1, ham: 1 },
      failed: { spam: 0, ham: 0 },
      left: 0,
      resume: null,
      exitCode: 0,
      sample: { posted: 200, isUsual: true },
      bayes: { missing: 0 },
    });
    expect(summary.names.notMail.map(({ place }) => place).sort()).toEqual([
      join(corpus, 'ham', 'picture.png'),
      join(corpus, 'spam', 'empty.eml'),
    ]);
    expect(summary.seconds.learning).toBeGreaterThan(0);
    // rspamd's own count would take up to a minute.
    expect(summary.seconds.confirming).toBeLessThan(10);
    await expectLearned({ spam: 220, ham: 220 }, summary);
    expect(listing(corpus)).toEqual(before);
    // and everything is known now
    const again = await relearn([corpus]);
    expect(again.code).toBe(0);
    expect(again.out).toMatch(/known +220 +220/);
    expect(again.out).not.toContain('posted again');
    await expectLearned({ spam: 220, ham: 220 }, summary);
  });

  test('waits for Bayes’ own count when it is asked to', TIME, async () => {
    const summary = await summaryOf(['--confirm', corpusOf(someMessages(440))]);
    expect(summary).toMatchObject({
      bayes: { gained: { spam: 220, ham: 220 }, active: true, missing: 0, confirmed: true },
      exitCode: 0,
    });
  });

  test('tells that rspamd forgot on the way what it had acknowledged', TIME, async () => {
    const run = new Run([corpusOf(someMessages(600))]);
    await until('half is learned', async () => (await learned()) > 300);
    await servers.redis.command('FLUSHALL');
    const { code, out } = await run.ended;
    expect(out).toMatch(/\d\d of 200 posted again were forgotten, and learned anew; with 95 %/);
    expect(code).toBe(75);
  });

  test('says the same of a folder, a Maildir, an mbox and a compressed one', async () => {
    const messages = someMessages(60);
    const spam = messages.filter(({ verdict }) => verdict === 'spam');
    const ham = messages.filter(({ verdict }) => verdict === 'ham');
    const maildir = join(folder, 'Maildir');
    const put = (name: string, some: readonly MadeMessage[]): void => {
      for (const part of ['cur', 'new', 'tmp']) {
        mkdirSync(join(maildir, name, part), { recursive: true });
      }
      some.forEach(({ raw }, index) => {
        const place = index % 2 === 0 ? `new/${index}.host` : `cur/${index}.host:2,S`;
        writeFileSync(join(maildir, name, place), raw);
      });
    };
    put('', ham);
    put('.Junk', spam);
    put('.Trash', [...makeMessages('spam', 10, 1_000)]);
    const mbox = join(folder, 'spam.mbox');
    writeFileSync(mbox, mboxOf(spam));
    const zipped = join(folder, 'spam.mbox.gz');
    writeFileSync(zipped, gzipSync(mboxOf(spam, '\r\n')));
    const sources: readonly (readonly [string[], Buffer?])[] = [
      [[corpusOf(messages)]],
      [['--ham', maildir, '--spam', join(maildir, '.Junk')]],
      [['--ham', maildir, '--spam', mbox]],
      [['--ham', maildir, '--spam', zipped]],
      [['--ham', maildir, '--spam', '-'], mboxOf(spam)],
    ];
    for (const [args, input] of sources) {
      await servers.redis.command('FLUSHALL');
      expect(await summaryOf(args, input)).toMatchObject({
        learned: { spam: 30, ham: 30 },
        failed: { spam: 0, ham: 0 },
        exitCode: 0,
      });
      expect(await servers.redis.bayesCounts()).toEqual({ spam: 30, ham: 30 });
    }
  });

  test('teaches what was wrapped, and resumes beside what is passed over', async () => {
    const [wrapped, deleted, ...others] = [...makeMessages('spam', 6)].map(({ raw }) =>
      raw.toString('latin1').replaceAll('\r\n', '\n'),
    );
    const from = 'From \n';
    const wrapper =
      'X-Spam-Flag: YES\nFrom: a@example.org\nContent-Type: multipart/mixed; boundary="=_b"\n\n' +
      '--=_b\nContent-Type: text/plain\n\nSpam detection software says so.\n' +
      `--=_b\nContent-Type: message/rfc822; x-spam-type=original\n\n${wrapped ?? ''}\n--=_b--\n`;
    const messages = [`X-Mozilla-Status: 0009\n${deleted ?? ''}`, wrapper, ...others];
    const mbox = join(folder, 'Spam');
    writeFileSync(mbox, messages.map((each) => `${from}${each}\n`).join(''), 'latin1');
    const args = ['--journal', join(folder, 'journal'), '--spam', mbox];
    expect(await summaryOf(['--limit', '2', ...args])).toMatchObject({ learned: { spam: 2 } });
    expect(await summaryOf(args)).toMatchObject({
      learned: { spam: 3 },
      doneBefore: { spam: 2 },
      passedOver: { spam: 1 },
      exitCode: 0,
    });
    expect(await servers.redis.bayesCounts()).toEqual({ spam: 5, ham: 0 });
    const plain = join(folder, 'plain.eml');
    writeFileSync(plain, wrapped ?? '', 'latin1');
    expect(await summaryOf(['--spam', plain])).toMatchObject({ known: { spam: 1 } });
  });

  test('killed in the middle, goes on where it was', async () => {
    const corpus = corpusOf(someMessages(MESSAGES));
    const args = ['--json', '--journal', join(folder, 'journal'), corpus];
    for (const share of [0.2, 0.5]) {
      const run = spawn(process.execPath, [program(), 'relearn', ...args], { env: environment() });
      const ended = once(run, 'exit');
      await until('it has learned a part', async () => {
        return (await learned()) >= MESSAGES * share;
      });
      run.kill('SIGKILL');
      expect(await ended).toEqual([null, 'SIGKILL']);
    }
    const summary = await summaryOf(args.slice(1));
    expect(summary).toMatchObject({ ending: 'complete', exitCode: 0, left: 0 });
    expect(summary.doneBefore.spam + summary.doneBefore.ham).toBeGreaterThan(MESSAGES * 0.2);
    expectAbout(await learned(), MESSAGES);
  });

  test('interrupted, tells how far it is and how to go on', async () => {
    const corpus = corpusOf(someMessages(1_000));
    const journal = join(folder, 'journal');
    const run = new Run(['--journal', journal, corpus]);
    await until('it learns', async () => (await learned()) > 50);
    run.stop();
    const result = await run.ended;
    expect(result.code).toBe(75);
    expect(result.out).toContain('Interrupted');
    expect(result.out).toContain(`relearn --journal ${journal} ${corpus}`);
    const done = readFileSync(journal, 'utf8').trimEnd().split('\n').length - 2;
    // all that rspamd learned is proven and noted
    expect(done).toBe(await learned());
  });

  test('waits for an rspamd that is restarted, and for one that is not there yet', async () => {
    const corpus = corpusOf(someMessages(MESSAGES));
    await servers.rspamd.stop();
    const run = new Run(['--json', '--wait', '300', corpus]);
    await until('it says that it waits', () => run.err.includes('waiting'));
    await servers.rspamd.start();
    await until('it learns', async () => (await learned()) > 100);
    await servers.rspamd.stop();
    await servers.rspamd.start();
    expect(await run.summary()).toMatchObject({ ending: 'complete', left: 0, exitCode: 0 });
    expect(run.err).toContain('learns again');
    expectAbout(await learned(), MESSAGES, 1.1);
  });

  test('learns all of it again once a Redis that was full has room', async () => {
    const run = new Run(['--json', corpusOf(someMessages(MESSAGES))]);
    await until('it learns', async () => (await learned()) > 80);
    await servers.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    await until('it is noticed', () => run.err.includes('waiting'));
    await servers.redis.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await run.summary()).toMatchObject({ ending: 'complete', left: 0, exitCode: 0 });
    expect(await learned()).toBeGreaterThanOrEqual(MESSAGES * 0.99);
  });

  test.each(byLength({ short: [], middle: [60], long: [60, 2_000] }))(
    'right after Bayes was emptied of %i messages says that what it gained can’t be told',
    { timeout: 600_000 },
    async (count) => {
      const corpus = corpusOf(someMessages(count));
      const held = { spam: count / 2, ham: count / 2 };
      let summary: Summary;
      do summary = await relearnEmptied(corpus, held);
      while (summary.bayes.before?.spam === 0); // rspamd had noticed by then
      expect(summary).toMatchObject({
        learned: held,
        bayes: { gained: null, missing: 0, confirmed: true },
        exitCode: 0,
      });
      expect(summary.bayes.now?.spam).toBeGreaterThan(held.spam);
    },
  );

  test('tells a cure when the list of learned messages outlived the statistics', TIME, async () => {
    const corpus = corpusOf(someMessages(60));
    await relearn([corpus]);
    const keys = await servers.redis.command('KEYS', 'RS*');
    if (!Array.isArray(keys)) throw new Error('no keys');
    await servers.redis.command('DEL', ...keys.map(String));
    const result = await relearn(['--confirm', corpus]);
    expect(result.out).toMatch(/known +30 +30/);
    const cure = /^ {2}(redis-cli .*)$/m.exec(result.out)?.[1];
    expect(cure).toBeDefined();
    const command = String(cure).replaceAll('redis-cli', `redis-cli -p ${servers.redis.port}`);
    expect(spawnSync('sh', ['-c', command]).status).toBe(0);
    const cured = await summaryOf([corpus]);
    expect(cured).toMatchObject({ learned: { spam: 30, ham: 30 }, known: { spam: 0, ham: 0 } });
  });
});

describeReal('relearn of the daemon’s own archive', () => {
  test('is refused while the daemon runs, and takes the newest of a name', async () => {
    await using world = await World.make();
    const daemon = world.start({ LEARN_AFTER: 'archive' });
    await daemon.says('daemon.owner');
    for (const message of someMessages(20)) await world.judge(message);
    await world.untilDone();
    const archive = join(world.stateDir, 'archive');
    const args = ['--json', archive];
    const refused = await call(['relearn', ...args], world.environment());
    expect(refused.code).toBe(75);
    expect(refused.err).toContain('stop it first; messages wait meanwhile');
    await daemon.stop();
    await world.redis.command('FLUSHALL');
    const result = await call(['relearn', ...args], world.environment());
    expect(summaryIn(result)).toMatchObject({ learned: { spam: 10, ham: 10 }, exitCode: 0 });
  });
});

function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const { mtimeMs, atimeMs, size, mode } = statSync(join(folder, name));
      return `${name} ${mtimeMs} ${size} ${mode} ${atimeMs > 0}`;
    })
    .sort();
}
