import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { COUNT_AGE_MS } from '../../src/delivery/learn-counts.ts';
import { makeMessage } from '../lab/messages.ts';
import { VERDICTS } from '../../src/verdict.ts';
import { describeReal, shownBy } from './harness.ts';
import { byLength } from '../support/length.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

const PATIENCE_MS = byLength({ short: 60_000, middle: 120_000, long: 240_000 });

describeReal('when the whole spool, state dir included, is replaced', () => {
  it(
    'each message is learned once, and nothing is lost',
    { timeout: PATIENCE_MS * 3 },
    async () => {
      await using world = await World.make();
      world.start();
      await world.judgeMany(50, 50);
      await world.untilDone(PATIENCE_MS);
      await rm(world.lib, { recursive: true });
      await world.daemon.says('spool.missing');
      world.makeFolders();
      await world.judgeMany(50, 50, 1_000);
      await world.untilDone(PATIENCE_MS);
      expect(world.quarantined).toEqual([]);
      expect(world.vanished).toBe(0);
      expect(await world.forgotten()).toEqual([]);
      expect(world.daemon.linesOf('message.learned')).toHaveLength(100);
    },
  );
});

/** Learns, of each class; a round turns some of one class, and the next turns them back. */
const HELD = 150;
const TURNED = 60;
/** The daemon asks for the counts so often. */
const SAMPLED_MS = 5_000;
/** Each takes as long as rspamd takes to show it, up to a minute on 3.4. */
const ROUNDS = byLength({ short: [], middle: [1], long: [12] });

/** rspamd shows what Bayes holds. */
async function untilShown({ redis, rspamd }: World): Promise<void> {
  const held = await redis.bayesCounts();
  await until('rspamd shows what Bayes holds', async () => {
    const { spam, ham } = await shownBy(rspamd);
    return spam === held.spam && ham === held.ham;
  });
}

// A suite without a test is a failure, and the short length has none.
(ROUNDS.length === 0 ? () => undefined : describeReal)('what Bayes forgets', () => {
  it.each(ROUNDS)(
    'is told two minutes later, and verdicts that are turned %i times are no part of it',
    { timeout: 1_800_000 },
    async (rounds) => {
      await using world = await World.make();
      const daemon = world.start();
      for (const verdict of VERDICTS) {
        for (let i = 0; i < HELD; i += 1) await world.judge(makeMessage(verdict, i));
      }
      await world.untilDone(PATIENCE_MS);
      await untilShown(world);
      for (let round = 0; round < rounds; round += 1) {
        for (let i = 0; i < TURNED; i += 1) {
          await world.judge(makeMessage('spam', i), round % 2 === 0 ? 'ham' : 'spam');
        }
        await world.untilDone(PATIENCE_MS);
        await untilShown(world);
      }
      // Until every sample of the last minute shows it, the daemon isn't sure what Bayes holds.
      await sleep(COUNT_AGE_MS + 2 * SAMPLED_MS);
      expect(daemon.linesOf('controller.forgot')).toEqual([]);
      await world.redis.command('FLUSHALL');
      const isTold = (): boolean => daemon.linesOf('controller.forgot').length > 0;
      // rspamd's own minute, and the daemon's minute of doubt, each until the next sample
      const timeoutMs = 2 * (COUNT_AGE_MS + SAMPLED_MS) + 10_000;
      await daemon.until('tell what Bayes has forgotten', isTold, { timeoutMs });
    },
  );
});
