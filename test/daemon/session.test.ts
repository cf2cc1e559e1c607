import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { teachAgain } from '../../src/spool/archive.ts';
import { SessionTaught } from '../../src/daemon/session-taught.ts';
import { SpoolSession } from '../../src/daemon/session.ts';
import type { SessionHistory } from '../../src/daemon/session.ts';
import { loadConfig } from '../../src/config.ts';
import { Controller } from '../../src/delivery/controller.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { failSteps, resolved } from '../support/fs-steps.ts';
import { VERDICTS } from '../../src/verdict.ts';
import { learnerOf } from '../support/learner.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';
import { MOUNTS } from '../support/needs.ts';

let clock: ManualClock;
let spool: TestSpool;
let recorder: LogRecorder;
let stop: AbortController;

beforeEach(() => {
  clock = new ManualClock();
  spool = new TestSpool();
  recorder = new LogRecorder();
  stop = new AbortController();
});

test('a session that is over leaves no timer behind', async () => {
  const session = sessionOf([]);
  await session.prepare();
  const run = session.run();
  expect(clock.timers).toBeGreaterThan(0);
  stop.abort();
  await run;
  expect(clock.timers).toBe(0);
});

test('a session that is stopped while it takes back what was released leaves the rest', async () => {
  const count = 5_000;
  for (let i = 0; i < count; i += 1) put(spool.statePath(`release/spam/${i}.eml`), 'x');
  const session = sessionOf([]);
  let steps = 0;
  await session.prepare(() => {
    steps += 1;
    if (steps === 2) stop.abort();
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
  const trainer = new ScriptedTrainer();
  trainer.figures = { hasBackend: true, learned: { spam: 1, ham: 1 }, uptimeSeconds: 1_000 };
  const session = sessionOf([controllerOf(trainer)]);
  await session.prepare();
  const run = session.run();
  spool.drop('spam', 'a.eml');
  await clock.flowUntil('it is called again', () => calls > 3);
  await clock.flowUntil('the message is learned', () => trainer.posts.length === 2);
  expect(recorder.fieldOf('daemon.bug', 'where')).toEqual([
    'the watch over state dir and password',
  ]);
  expect(recorder.of('disk.fault')).toEqual([]);
  stop.abort();
  await run;
});

test('a session that is over late lets go of its folders all the same', async () => {
  mkdirSync(spool.statePath('archive/spam/2000-01-01'));
  let answer: (time: undefined) => void = () => undefined;
  const trainer = new ScriptedTrainer();
  // What is asked for the time before anything old is removed hangs.
  trainer.time = () => new Promise((resolve) => (answer = resolve));
  const session = sessionOf([controllerOf(trainer)], {
    SHUTDOWN_SECONDS: '1',
    LEARN_ARCHIVE_DAYS: '30',
  });
  await session.prepare();
  let isOver = false;
  const run = session.run().finally(() => {
    isOver = true;
  });
  await clock.flow(1_000);
  stop.abort();
  await clock.flowUntil('it has given up waiting', () => isOver);
  await run;
  expect(isLocked(`${spool.lib}/spam`)).toBe(true);
  answer(undefined);
  await clock.flow(1_000);
  expect(isLocked(`${spool.lib}/spam`)).toBe(false);
});

test('SpamAssassin tells no time: the archive is tidied up when a day has passed, and not before', async () => {
  mkdirSync(spool.statePath('archive/spam/2000-01-01'));
  const trainer = new ScriptedTrainer('spamd://two:783', 'spamassassin');
  const session = sessionOf([controllerOf(trainer)]);
  await session.prepare();
  const run = session.run();
  await clock.flow(23 * 3_600_000, 60_000);
  expect(spool.names('archive/spam')).toEqual(['2000-01-01']);
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('archive/spam')).toEqual([]);
  stop.abort();
  await run;
});

test('a session knows nothing of the messages of an earlier one', () => {
  const trainer = new ScriptedTrainer();
  const controller = controllerOf(trainer);
  controller.unproven(new PendingMessage({ verdict: 'spam', key: 'a', bytes: 1 }, []), false);
  expect(sessionOf([controller]).lostReason).toBeUndefined();
  expect(controller.isSuspected).toBe(false);
});

test('a session tells what a controller has forgotten, and takes turned verdicts for nothing of it', async () => {
  const trainer = new ScriptedTrainer();
  const controller = controllerOf(trainer);
  const show = (spam: number, ham: number): void => {
    trainer.figures = { hasBackend: true, learned: { spam, ham }, uptimeSeconds: 9_999 };
  };
  show(9_000, 9_000);
  const session = sessionOf([controller]);
  await session.prepare();
  const run = session.run();
  // Nothing is asked before a message has shown that the password is right.
  await clock.flow(70_000, 100);
  show(300, 300);
  controller.proved(new PendingMessage({ verdict: 'spam', key: 'a', bytes: 1 }, []));
  await clock.flow(70_000, 100);
  show(300, 360);
  await clock.flow(30_000, 100);
  show(240, 360);
  await clock.flow(120_000, 100);
  expect(recorder.of('controller.forgot')).toEqual([]);
  show(0, 0);
  await clock.flow(70_000, 100);
  expect(recorder.fieldOf('controller.forgot', 'missing')).toEqual([600]);
  expect(controller.forgot?.missing).toBe(600);
  stop.abort();
  await run;
});

test('one pass ends though a copy can’t be made, and learns what is queued', MOUNTS, async () => {
  const base = temporaryFolder();
  mountTmpfs(`${base}/tiny`, 'size=300k');
  spool = new TestSpool({ stateDir: `${base}/tiny/state` });
  // killed between the copy's rename and the removal of the original
  const text = `Message-ID: <a@x>\n\n${'x'.repeat(50_000)}\n`;
  spool.enqueue('spam', 'a.eml', text);
  put(spool.dropPath('spam', '.learnd-a.eml'), text);
  put(`${base}/tiny/filler`, Buffer.alloc(230_000));
  const trainer = new ScriptedTrainer();
  const session = sessionOf([controllerOf(trainer)]);
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

  /** A daemon that idles for some minutes beside a Bayes with these figures. */
  async function idle(
    figures: Statistics | undefined,
  ): Promise<ScriptedTrainer & { asked: number }> {
    const trainer = Object.assign(new ScriptedTrainer(), { asked: 0, figures, clock: 0 });
    trainer.statistics = () => {
      trainer.asked += 1;
      return Promise.resolve(trainer.figures);
    };
    stop = new AbortController();
    const session = sessionOf([controllerOf(trainer)]);
    await session.prepare();
    const run = session.run();
    await clock.flow(240_000, 500);
    stop.abort();
    await run;
    return trainer;
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
    expect(recorder.of('controller.forgot')).toHaveLength(1);
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
    expect((await idle(undefined)).asked).toBe(1);
    rmSync(spool.statePath(FIGURES));
    expect((await idle(statistics(1, 1))).asked).toBe(0);
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
  async function learn(trainer: ScriptedTrainer, count: number): Promise<void> {
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
    const trainer = new ScriptedTrainer();
    const session = sessionOf([controllerOf(trainer)]);
    await session.prepare();
    const run = session.run();
    await learn(trainer, 60);
    await clock.flow(180_000, 500);
    expect(kept()).toMatchObject(holding(60));
    expect(times.length).toBeGreaterThan(1);
    for (const [index, time] of times.slice(1).entries()) {
      expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(60_000);
    }
    const { length } = times;
    await learn(trainer, 1);
    stop.abort();
    await run;
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
    const trainer = new ScriptedTrainer();
    const session = sessionOf([controllerOf(trainer)]);
    await session.prepare();
    const run = session.run();
    await learn(trainer, 1);
    await clock.flow(70_000, 100);
    const place = 'the history by day';
    expect(recorder.fieldOf('disk.fault', 'place')).toEqual([place]);
    await learn(trainer, 1);
    isFull = false;
    await clock.flow(6_000, 100);
    expect(kept()).toMatchObject(holding(2));
    expect(recorder.fieldOf('disk.ok', 'place')).toEqual([place]);
    stop.abort();
    await run;
  });
});

function controllerOf(trainer: ScriptedTrainer): Controller {
  const stateDir = spool.stateDir.root.path;
  const common = { clock, random: () => 0.5, log: recorder.log };
  return new Controller({ ...common, trainer, teachAgain: () => teachAgain(stateDir) });
}

function sessionOf(
  controllers: readonly Controller[],
  settings: Readonly<Record<string, string>> = {},
): SpoolSession {
  const { log } = recorder;
  const history: SessionHistory = {};
  const events = new MessageEvents({
    ...{ log, clock, filter: 'rspamd', verdicts: VERDICTS },
    onEnded: (ended) => history.current?.ended('rspamd', ended),
  });
  return new SpoolSession({
    config: loadConfig({ KOPANO_SPAMD_LIB: spool.lib, LEARN_POLLING: 'yes', ...settings }),
    clock,
    random: () => 0.5,
    log,
    bugs: new Bugs({ clock, log }),
    stateDir: spool.stateDir,
    learners: [learnerOf(controllers, { log, clock }, events)],
    locks: new MessageLocks(),
    taught: new SessionTaught(),
    fuzzyLists: new SessionTaught(),
    history,
    stop: stop.signal,
  });
}

function isLocked(folder: string): boolean {
  return spawnSync('flock', ['--nonblock', folder, 'true']).status !== 0;
}
