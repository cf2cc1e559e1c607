import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { Daemon } from '../lab/daemon.ts';
import { byLength } from '../support/length.ts';
import { describeReal } from './harness.ts';
import { World, until } from './world.ts';

const MESSAGES = byLength({ short: 200, middle: 1_000, long: 5_000 });
const TIMEOUT_SECONDS = 3;
/** LEARN_CONCURRENCY's default. */
const IN_FLIGHT = 8;
const PATIENCE_MS = 300_000;

/** When each was learned; the filter knows what the one that dies learned and didn't say. */
function learned(daemon: Daemon): number[] {
  return ['message.learned', 'message.duplicate']
    .flatMap((event) => daemon.linesOf(event))
    .map(({ fields }) => Date.parse(String(fields['time'])))
    .sort((a, b) => a - b);
}

/** The longest time in which nothing was learned, in milliseconds. */
function longestStandstill(times: readonly number[]): number {
  return Math.max(...times.slice(1).map((time, at) => time - (times[at] ?? time)));
}

describeReal('a burst over two controllers of which one', () => {
  it.each(['dies', 'hangs'] as const)(
    '%s loses nothing, and stands still for no longer than a request may take',
    async (how) => {
      await using world = await World.make({ controllers: 2 });
      const [first] = world.rspamds;
      if (first === undefined) throw new Error('two controllers wanted');
      const daemon = await world.spawnDaemon({ RSPAMD_TIMEOUT_SECONDS: `${TIMEOUT_SECONDS}` });
      for (let seed = 0; seed < MESSAGES; seed += 1) {
        await world.judge(makeMessage(seed % 2 === 0 ? 'spam' : 'ham', seed));
      }
      const isLearned = (part: number) => (): boolean => learned(daemon).length >= part;
      await until('a third is learned', PATIENCE_MS, isLearned(MESSAGES / 3));
      if (how === 'dies') await first.kill();
      else first.freeze();
      // What was sent to one that hangs waits for it: it may carry that out when it wakes.
      const bound = how === 'dies' ? 0 : IN_FLIGHT;
      await until('the others are learned', PATIENCE_MS, isLearned(MESSAGES - bound));
      const standstill = longestStandstill(learned(daemon));
      if (how === 'hangs') first.resume();
      await world.untilDone(PATIENCE_MS);
      process.stdout.write(`longest standstill, one that ${how}: ${standstill} ms\n`);
      expect(standstill).toBeLessThan(TIMEOUT_SECONDS * 1_000 + 1_000);
      expect(await world.quarantined()).toEqual([]);
      const { spam, ham } = await world.redis.bayesCounts();
      expect(spam + ham).toBeGreaterThanOrEqual(MESSAGES);
      expect(spam + ham).toBeLessThanOrEqual(MESSAGES + 2 * IN_FLIGHT);
    },
    2 * PATIENCE_MS,
  );
});
