import { expect, test } from 'vitest';
import { Tenure } from '../../src/commands/tenure.ts';
import { loadConfig } from '../../src/config.ts';
import { Lanes } from '../../src/learning/lanes.ts';
import { MessageLog } from '../../src/learning/message-log.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
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
