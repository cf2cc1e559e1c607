import { it } from 'vitest';
import { byLength } from '../support/length.ts';
import { TIME } from '../support/needs.ts';
import { chanceFor } from '../support/seed.ts';
import { killFuzzyUnderLoad } from '../torture/kill/fuzzy.ts';
import { count } from '../torture/kill/kills.ts';
import { describeReal, hasClasses } from './harness.ts';

/** A message that is turned takes two minutes and a half. */
const TIMEOUT_MS = 900_000;
const KILLS = byLength({ short: 25, middle: 25, long: 200 });
const CLASSES = hasClasses() ? ['newsletter'] : [];

describeReal('with a fuzzy storage, and with classes where rspamd has them', TIME, () => {
  it(
    'kills lose nothing, and each hash is in the list of the last verdict',
    async () => {
      const chance = chanceFor('kill fuzzy', 324_490_083);
      await killFuzzyUnderLoad({ kills: KILLS, longestLifeMs: 900 }, CLASSES, chance);
      process.stdout.write(`kill fuzzy: ${JSON.stringify(count)}\n`);
    },
    TIMEOUT_MS,
  );
});
