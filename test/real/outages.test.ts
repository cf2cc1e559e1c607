import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { describeReal } from './harness.ts';
import { byLength } from '../support/length.ts';
import { World, until } from './world.ts';

const PER_SECOND = 50;
const MESSAGES = byLength({ short: 250, middle: 500, long: 3_000 });
const PATIENCE_MS = byLength({ short: 60_000, middle: 120_000, long: 240_000 });

/** Whatever happened: nothing lost, every last verdict remembered, nobody innocent punished. */
async function expectAllLearned(world: World): Promise<void> {
  await world.untilDone(PATIENCE_MS);
  expect(await world.quarantined()).toEqual([]);
  expect(world.writerErrors).toBe(0);
  expect(await world.forgotten()).toEqual([]);
}

describeReal('with everything up', () => {
  it('learns each message once and removes it', { timeout: 120_000 }, async () => {
    await using world = await World.make();
    await world.startDaemon();
    await world.judgeMany(MESSAGES, PER_SECOND);
    await world.untilDone(PATIENCE_MS);
    const counts = await world.redis.bayesCounts();
    const half = MESSAGES / 2;
    expect(counts.spam).toBeGreaterThanOrEqual(half);
    expect(counts.spam).toBeLessThanOrEqual(half * 1.01);
    expect(counts.ham).toBeGreaterThanOrEqual(half);
    expect(counts.ham).toBeLessThanOrEqual(half * 1.01);
    await expectAllLearned(world);
    expect(world.daemon.linesOf('message.learned')).toHaveLength(MESSAGES);
  });
});

describeReal('nothing is lost', () => {
  it(
    'when the class folders are removed and made again',
    { timeout: PATIENCE_MS * 3 },
    async () => {
      await using world = await World.make();
      await world.startDaemon({ LEARN_SWEEP_SECONDS: '2' });
      await world.judgeMany(MESSAGES / 2, PER_SECOND);
      for (const verdict of ['spam', 'ham']) {
        // What lies in the folder at this moment goes with it, and comes back as files that are new.
        await rename(join(world.lib, verdict), join(world.folder, verdict));
      }
      await until('the daemon misses them', 10_000, () => {
        return world.daemon.linesOf('spool.missing').length >= 2;
      });
      await world.makeSpool();
      for (const verdict of ['spam', 'ham']) {
        for (const { message, verdict: last } of world.sent.values()) {
          if (last !== verdict) continue;
          await rename(
            join(world.folder, verdict, message.name),
            join(world.lib, verdict, message.name),
          ).catch(() => undefined);
        }
      }
      await world.judgeMany(MESSAGES / 2, PER_SECOND, MESSAGES);
      await expectAllLearned(world);
    },
  );

  it(
    'when the whole spool, state dir included, is replaced',
    { timeout: PATIENCE_MS * 3 },
    async () => {
      await using world = await World.make();
      await world.startDaemon();
      await world.judgeMany(50, PER_SECOND);
      await world.untilDone(PATIENCE_MS);
      await rm(world.lib, { recursive: true });
      await until('the daemon misses it', 10_000, () => {
        return world.daemon.linesOf('spool.missing').length >= 1;
      });
      await mkdir(world.lib);
      await world.makeSpool();
      await world.judgeMany(50, PER_SECOND, 1_000);
      await expectAllLearned(world);
    },
  );
});
