import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { byLength } from '../support/length.ts';
import { describeReal } from './harness.ts';
import { learnedAt, longestStandstill } from './standstill.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

const MESSAGES = byLength({ short: 200, middle: 1_000, long: 5_000 });
const TIMEOUT_SECONDS = 3;
/** LEARN_CONCURRENCY's default. */
const IN_FLIGHT = 8;
const PATIENCE_MS = 300_000;

describeReal('a burst over two controllers of which one', () => {
  it.each(['dies', 'hangs'] as const)(
    '%s loses nothing, and stands still for no longer than a request may take',
    async (how) => {
      await using world = await World.make({ controllers: 2 });
      const [first] = world.rspamds;
      if (first === undefined) throw new Error('two controllers wanted');
      const daemon = await world.spawn({ RSPAMD_TIMEOUT_SECONDS: `${TIMEOUT_SECONDS}` });
      for (let seed = 0; seed < MESSAGES; seed += 1) {
        await world.judge(makeMessage(seed % 2 === 0 ? 'spam' : 'ham', seed));
      }
      const isLearned = (part: number) => (): boolean => learnedAt(daemon).length >= part;
      await until('a third is learned', isLearned(MESSAGES / 3), PATIENCE_MS);
      if (how === 'dies') await first.kill();
      else first.freeze();
      // What was sent to one that hangs waits for it: it may carry that out when it wakes.
      const bound = how === 'dies' ? 0 : IN_FLIGHT;
      await until('the others are learned', isLearned(MESSAGES - bound), PATIENCE_MS);
      const standstill = longestStandstill(daemon);
      if (how === 'hangs') first.resume();
      await world.untilDone(PATIENCE_MS);
      process.stdout.write(`longest standstill, one that ${how}: ${standstill} ms\n`);
      expect(standstill).toBeLessThan(TIMEOUT_SECONDS * 1_000 + 1_000);
      expect(world.quarantined).toEqual([]);
      const { spam, ham } = await world.redis.bayesCounts();
      expect(spam + ham).toBeGreaterThanOrEqual(MESSAGES);
      expect(spam + ham).toBeLessThanOrEqual(MESSAGES + 2 * IN_FLIGHT);
    },
    2 * PATIENCE_MS,
  );
});
