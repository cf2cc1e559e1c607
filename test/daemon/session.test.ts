import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { beforeEach, expect, test } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { SpoolSession } from '../../src/daemon/session.ts';
import { loadConfig } from '../../src/config.ts';
import { Affinity } from '../../src/delivery/affinity.ts';
import { Controller } from '../../src/delivery/controller.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
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

function controllerOf(trainer: ScriptedTrainer): Controller {
  return new Controller({ trainer, clock, random: () => 0.5, log: recorder.log });
}

function sessionOf(
  controllers: readonly Controller[],
  settings: Readonly<Record<string, string>> = {},
): SpoolSession {
  const { log } = recorder;
  return new SpoolSession({
    config: loadConfig({ KOPANO_SPAMD_LIB: spool.lib, LEARN_POLLING: 'yes', ...settings }),
    clock,
    random: () => 0.5,
    log,
    bugs: new Bugs({ clock, log }),
    stateDir: spool.stateDir,
    controllers,
    locks: new MessageLocks(),
    affinity: new Affinity(clock),
    events: new MessageEvents(log, clock),
    stop: stop.signal,
  });
}

function isLocked(folder: string): boolean {
  return spawnSync('flock', ['--nonblock', folder, 'true']).status !== 0;
}
