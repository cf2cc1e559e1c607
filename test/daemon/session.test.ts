import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { teachAgain } from '../../src/spool/archive.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { failSteps, resolved } from '../support/fs-steps.ts';
import type { LogRecorder } from '../support/log-recorder.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { MOUNTS } from '../support/needs.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';
import { SessionBench } from './session-bench.ts';
import type { SessionBenchOptions } from './session-bench.ts';

let trainer: ScriptedTrainer;
let bench: SessionBench;
let clock: ManualClock;
let spool: TestSpool;
let recorder: LogRecorder;

function use(options: SessionBenchOptions = {}): void {
  trainer = options.trainers?.[0] ?? new ScriptedTrainer();
  bench = new SessionBench({ trainers: [trainer], ...options });
  ({ clock, spool, recorder } = bench);
}

beforeEach(() => use());

test('a session that is over leaves no timer behind', async () => {
  await bench.begin();
  expect(clock.timers).toBeGreaterThan(0);
  await bench.end();
  expect(clock.timers).toBe(0);
});

test('a session that is stopped while it takes back what was released leaves the rest', async () => {
  const count = 5_000;
  for (let i = 0; i < count; i += 1) put(spool.statePath(`release/spam/${i}.eml`), 'x');
  const session = bench.make();
  let steps = 0;
  await session.prepare(() => {
    steps += 1;
    if (steps === 2) bench.stop.abort();
  });
  expect(steps).toBe(2);
  const left = readdirSync(spool.statePath('release/spam')).length;
  expect(left).toBeGreaterThan(0);
  expect(left + readdirSync(spool.statePath('queue/spam')).length).toBe(count);
  await session.stop();
});

test('a chore that meets an error of this program is called again, and so are the others', async () => {
  const { stateDir } = spool;
  const isOurs = stateDir.isOurs.bind(stateDir);
  let calls = 0;
  stateDir.isOurs = () => {
    calls += 1;
    if (calls < 3) throw new TypeError('x');
    return isOurs();
  };
  trainer.figures = { hasBackend: true, learned: { spam: 1, ham: 1 }, uptimeSeconds: 1_000 };
  await bench.begin();
  spool.drop('spam', 'a.eml');
  await clock.flowUntil('it is called again', () => calls > 3);
  await clock.flowUntil('the message is learned', () => trainer.posts.length === 2);
  expect(recorder.fieldOf('daemon.bug', 'where')).toEqual([
    'the watch over state dir and password',
  ]);
  expect(recorder.of('disk.fault')).toEqual([]);
});

test('a session removes what a killed one left half-made, of messages that never come again', async () => {
  const copies = ['withdrawn.eml', '.taught-withdrawn.eml', '.listed-withdrawn.eml'];
  const probe = '.kopano-learnd-doctor-1';
  for (const name of [...copies, 'quarantined.eml.json', '.history.json', probe]) {
    put(spool.statePath(`tmp/${name}`), 'x');
  }
  failSteps((step) =>
    step.call === 'unlinkSync' && step.path.endsWith('/withdrawn.eml') ? 'EIO' : undefined,
  );
  await bench.begin();
  spool.drop('spam', 'a.eml');
  await clock.flowUntil('all the same it learns', () => trainer.posts.length === 2);
  expect(spool.names('tmp')).toEqual([probe, 'withdrawn.eml']);
});

test('a session that is over late lets go of its folders all the same', async () => {
  use({ settings: { SHUTDOWN_SECONDS: '1', LEARN_ARCHIVE_DAYS: '30' } });
  mkdirSync(spool.statePath('archive/spam/2000-01-01'));
  let answer: (time: undefined) => void = () => undefined;
  // What is asked for the time before anything old is removed hangs.
  trainer.time = () => new Promise((resolve) => (answer = resolve));
  await bench.begin();
  await clock.flow(1_000);
  await bench.end();
  expect(isLocked(`${spool.lib}/spam`)).toBe(true);
  answer(undefined);
  await clock.flow(1_000);
  expect(isLocked(`${spool.lib}/spam`)).toBe(false);
});

test('SpamAssassin tells no time: the archive is tidied up when a day has passed, and not before', async () => {
  use({
    trainers: [new ScriptedTrainer('spamd://two:783', 'spamassassin')],
    settings: { LEARN_TRAINERS: 'spamassassin' },
  });
  mkdirSync(spool.statePath('archive/spam/2000-01-01'));
  await bench.begin();
  await clock.flow(23 * 3_600_000, 60_000);
  expect(spool.names('archive/spam')).toEqual(['2000-01-01']);
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('archive/spam')).toEqual([]);
});

test('a session knows nothing of the messages of an earlier one', () => {
  const [controller] = bench.controllers;
  controller?.unproven(new PendingMessage({ verdict: 'spam', key: 'a', bytes: 1 }, []), false);
  expect(controller?.isSuspected).toBe(true);
  expect(bench.make().lostReason).toBeUndefined();
  expect(controller?.isSuspected).toBe(false);
});

test('a session tells what a controller has forgotten, and takes turned verdicts for nothing of it', async () => {
  const [controller] = bench.controllers;
  const show = (spam: number, ham: number): void => {
    trainer.figures = { hasBackend: true, learned: { spam, ham }, uptimeSeconds: 9_999 };
  };
  show(9_000, 9_000);
  await bench.begin();
  // Nothing is asked before a message has shown that the password is right.
  await clock.flow(70_000, 100);
  show(300, 300);
  controller?.proved(new PendingMessage({ verdict: 'spam', key: 'a', bytes: 1 }, []));
  await clock.flow(70_000, 100);
  show(300, 360);
  await clock.flow(30_000, 100);
  show(240, 360);
  await clock.flow(120_000, 100);
  expect(recorder.of('controller.forgot')).toEqual([]);
  show(0, 0);
  await clock.flow(70_000, 100);
  expect(recorder.fieldOf('controller.forgot', 'missing')).toEqual([600]);
  expect(controller?.forgot?.missing).toBe(600);
});

test('one pass ends though a copy can’t be made, and learns what is queued', MOUNTS, async () => {
  const base = temporaryFolder();
  mountTmpfs(`${base}/tiny`, 'size=300k');
  use({ spool: new TestSpool({ stateDir: `${base}/tiny/state` }) });
  // killed between the copy's rename and the removal of the original
  const text = `Message-ID: <a@x>\n\n${'x'.repeat(50_000)}\n`;
  spool.enqueue('spam', 'a.eml', text);
  put(spool.dropPath('spam', '.learnd-a.eml'), text);
  put(`${base}/tiny/filler`, Buffer.alloc(230_000));
  const session = bench.make();
  await session.prepare();
  let left: number | undefined;
  void session.pass().then((count) => {
    left = count;
  });
  await clock.flowUntil('the pass is over', () => left !== undefined);
  expect(left).toBeGreaterThan(0);
  expect(spool.queued).toEqual([]);
  expect(trainer.posts.length).toBe(2);
});

describe('what Bayes had learned when it was last seen', () => {
  const FIGURES = 'learned.json';
  const statistics = (spam: number, ham: number): Statistics => ({
    learned: { spam, ham },
    learns: 0,
    uptimeSeconds: 100_000,
    hasBackend: true,
    version: '3.12.1',
    users: 1,
  });

  /** Has a new daemon idle for some minutes beside a Bayes with these figures. @returns how often it asks */
  async function idle(figures: Statistics | undefined): Promise<number> {
    use({ spool });
    let asked = 0;
    trainer.clock = 0;
    trainer.statistics = () => {
      asked += 1;
      return Promise.resolve(figures);
    };
    await bench.begin();
    await clock.flow(240_000, 500);
    await bench.end();
    return asked;
  }

  const kept = (): unknown => JSON.parse(readFileSync(spool.statePath(FIGURES), 'utf8'));

  test('is missed after a reboot that lost it, by an idle daemon, once', async () => {
    put(spool.statePath(FIGURES), '{"http://one:11334":2325}');
    await idle(statistics(0, 0));
    expect(recorder.fieldOf('controller.forgot', 'missing')).toEqual([2_325]);
    expect(recorder.of('controller.forgot')[0]?.message).toMatch(
      /has forgotten 2325 learned messages; there is no archive to teach it from again/,
    );
    await idle(statistics(0, 0));
    expect(recorder.of('controller.forgot')).toEqual([]);
  });

  test('is not missed where it is still there, or has grown, and is kept anew', async () => {
    put(spool.statePath(FIGURES), '{"http://one:11334":2325}');
    await idle(statistics(1_200, 1_300));
    expect(recorder.of('controller.forgot')).toEqual([]);
    expect(kept()).toEqual({ 'http://one:11334': 2_500 });
  });

  test.each(['', '{', '[1]', '"x"', '{"http://one:11334":"many"}'])(
    'is nothing where the file is damaged: %s',
    async (text) => {
      put(spool.statePath(FIGURES), text);
      await idle(statistics(0, 0));
      expect(recorder.of('controller.forgot')).toEqual([]);
      expect(recorder.of('daemon.bug')).toEqual([]);
    },
  );

  test('is asked for once where the password is refused, and never without a figure', async () => {
    put(spool.statePath(FIGURES), '{"http://one:11334":2325}');
    expect(await idle(undefined)).toBe(1);
    rmSync(spool.statePath(FIGURES));
    expect(await idle(statistics(1, 1))).toBe(0);
  });

  test('can be taught again from the archive, which is named', () => {
    mkdirSync(spool.statePath('archive/ham/2026-01-01'));
    const stateDir = spool.stateDir.root.path;
    expect(teachAgain(stateDir)).toContain(`kopano-learnd relearn ${stateDir}/archive`);
  });
});

describe('the history by day', () => {
  /** When it is written. */
  const writes = (): readonly number[] => {
    const times: number[] = [];
    failSteps((step) => {
      const isIt = step.call === 'renameSync' && resolved(step).endsWith('tmp/.history.json');
      if (isIt && step.when === 'before') times.push(clock.monotonic());
      return undefined;
    });
    return times;
  };
  const kept = (): unknown => JSON.parse(readFileSync(spool.statePath('history.json'), 'utf8'));
  const holding = (learned: number): object => ({
    days: { '2026-03-14': { 'rspamd spam': [learned, 0, 0] } },
  });

  /** Learns so many messages, one every two seconds. */
  async function learn(count: number): Promise<void> {
    const before = trainer.memory.size;
    for (let index = 1; index <= count; index += 1) {
      const name = `${before + index}.eml`;
      spool.drop('spam', name, `X-Test: ${name}\n\nx`);
      await clock.flowUntil('it is learned', () => trainer.memory.size === before + index);
      await clock.flow(2_000);
    }
  }

  test('is written once a minute at most, and at a stop', async () => {
    const times = writes();
    await bench.begin();
    await learn(60);
    await clock.flow(180_000, 500);
    expect(kept()).toMatchObject(holding(60));
    expect(times.length).toBeGreaterThan(1);
    for (const [index, time] of times.slice(1).entries()) {
      expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(60_000);
    }
    const { length } = times;
    await learn(1);
    await bench.end();
    expect(times).toHaveLength(length + 1);
    expect(kept()).toMatchObject(holding(61));
  });

  test('that can’t be written is a disk fault, keeps no message, and is written when it can be', async () => {
    let isFull = true;
    failSteps((step) =>
      isFull && step.call === 'open' && resolved(step).endsWith('tmp/.history.json')
        ? 'ENOSPC'
        : undefined,
    );
    await bench.begin();
    await learn(1);
    await clock.flow(70_000, 100);
    const place = 'the history by day';
    expect(recorder.fieldOf('disk.fault', 'place')).toEqual([place]);
    await learn(1);
    isFull = false;
    await clock.flow(6_000, 100);
    expect(kept()).toMatchObject(holding(2));
    expect(recorder.fieldOf('disk.ok', 'place')).toEqual([place]);
  });
});

function isLocked(folder: string): boolean {
  return spawnSync('flock', ['--nonblock', folder, 'true']).status !== 0;
}
