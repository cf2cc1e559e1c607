import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Tenure } from '../../src/commands/tenure.ts';
import { loadConfig } from '../../src/config.ts';
import { Controller } from '../../src/learning/controller.ts';
import { Lanes } from '../../src/learning/lanes.ts';
import { MessageLog } from '../../src/learning/message-log.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { TestSpool } from '../support/test-spool.ts';

test('a tenure that is over leaves no timer behind', async () => {
  const clock = new ManualClock();
  const { log } = new LogRecorder();
  const { lib, stateDir } = new TestSpool();
  const tenure = new Tenure({
    config: loadConfig({ KOPANO_SPAMD_LIB: lib, LEARN_POLLING: 'yes' }),
    clock,
    random: () => 0.5,
    log,
    stateDir,
    controllers: [],
    lanes: new Lanes(() => clock.monotonic()),
    messages: new MessageLog(log, clock),
  });
  await tenure.prepare();
  const stop = new AbortController();
  const run = tenure.run(stop.signal);
  expect(clock.timers).toBeGreaterThan(0);
  stop.abort();
  await run;
  expect(clock.timers).toBe(0);
});

test('a tenure that is over late lets go of its folders all the same', async () => {
  const clock = new ManualClock();
  const { log } = new LogRecorder();
  const spool = new TestSpool();
  const { lib, stateDir } = spool;
  mkdirSync(spool.statePath('archive/spam/2000-01-01'));
  let answer: (time: undefined) => void = () => undefined;
  const trainer = new ScriptedTrainer();
  // What is asked for the time before anything old is removed hangs.
  trainer.time = () => new Promise((resolve) => (answer = resolve));
  const tenure = new Tenure({
    config: loadConfig({
      KOPANO_SPAMD_LIB: lib,
      LEARN_POLLING: 'yes',
      SHUTDOWN_SECONDS: '1',
      LEARN_ARCHIVE_DAYS: '30',
    }),
    clock,
    random: () => 0.5,
    log,
    stateDir,
    controllers: [new Controller({ trainer, clock, random: () => 0.5, log })],
    lanes: new Lanes(() => clock.monotonic()),
    messages: new MessageLog(log, clock),
  });
  await tenure.prepare();
  const stop = new AbortController();
  let isOver = false;
  const run = tenure.run(stop.signal).finally(() => {
    isOver = true;
  });
  await clock.flow(1_000);
  stop.abort();
  await clock.flowUntil('it has given up waiting', () => isOver);
  await run;
  expect(isLocked(`${lib}/spam`)).toBe(true);
  answer(undefined);
  await clock.flow(1_000);
  expect(isLocked(`${lib}/spam`)).toBe(false);
});

function isLocked(folder: string): boolean {
  return spawnSync('flock', ['--nonblock', folder, 'true']).status !== 0;
}
