import { afterAll, describe, it } from 'vitest';
import { describeReal } from '../../real/harness.ts';
import { World } from '../../real/world.ts';
import { byLength } from '../../support/length.ts';
import { needsPrograms } from '../../support/needs.ts';
import { chanceFor, chanceOf } from '../../support/seed.ts';
import { killBothUnderLoad } from './both.ts';
import { count, killUnderLoad } from './kills.ts';

/**
 * Kill at random: the built daemon is killed at random moments, its start-up among them, while users
 * judge messages, a fifth of them more than once. Whatever it was at, nothing is lost, cut off or in
 * two places, its writer meets no error, and each message's last verdict is what the filters remember.
 * (The kill at every single step is the suite of the system calls.)
 */
const KILLS = byLength({ short: 24, middle: 60, long: 2_000 });
const KILLS_OF_BOTH = byLength({ short: 25, middle: 100, long: 1_000 });
/** Kills until one daemon may finish its work: then rspamd is asked, and another one is started. */
const ROUND = 50;
const TIMEOUT_MS = byLength({ short: 180_000, middle: 900_000, long: 10_800_000 });

const chance = chanceFor('kill', 324_490_080);

afterAll(() => process.stdout.write(`kill: ${JSON.stringify(count)}\n`));

describeReal('nothing is lost by kills at random moments under load', () => {
  const seeds = [chance.below(2 ** 31), chance.below(2 ** 31)];

  it.concurrent.each([
    ['beside the spool', { elsewhere: false, after: 'remove' }],
    ['on another file system', { elsewhere: true, after: 'archive' }],
  ] as const)('with the state dir %s', { timeout: TIMEOUT_MS }, async (_, { elsewhere, after }) => {
    const own = chanceOf(seeds.pop() ?? 0);
    for (let left = KILLS / 2; left > 0; left -= ROUND) {
      await using world = await World.make({ elsewhere });
      const users = { perSecond: 25, flips: 0.2, repeats: 0.04, recent: 40 };
      const kills = Math.min(left, ROUND);
      const pace = { longestLifeMs: 900, lastJudgements: 40 };
      await killUnderLoad({ kills, after, world, users, ...pace }, own);
    }
  });
});

describe('nothing is lost by kills', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  it('in rspamd and in SpamAssassin', { timeout: TIMEOUT_MS }, async () => {
    const own = chanceOf(chance.below(2 ** 31));
    for (let left = KILLS_OF_BOTH; left > 0; left -= ROUND) {
      await killBothUnderLoad({ kills: Math.min(left, ROUND), longestLifeMs: 1_500 }, own);
    }
  });
});
