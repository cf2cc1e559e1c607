import { describe, it } from 'vitest';
import { needsPrograms } from '../support/needs.ts';
import { chanceFor } from '../support/seed.ts';
import { killBothUnderLoad } from '../torture/kill/both.ts';
import { count } from '../torture/kill/kills.ts';

/** The short form of the suite of kills, which has a hundred of them and more. */
const KILLS = 25;
const LONGEST_LIFE_MS = 300;

describe('with both filters', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  it('25 kills lose nothing, and every last verdict is right in both', async () => {
    const chance = chanceFor('kill both', 324_490_081);
    await killBothUnderLoad({ kills: KILLS, longestLifeMs: LONGEST_LIFE_MS }, chance);
    process.stdout.write(`kill both: ${JSON.stringify(count)}\n`);
  });
});
