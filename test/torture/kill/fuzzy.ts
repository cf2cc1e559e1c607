import { VERDICTS } from '../../../src/verdict.ts';
import { fuzzyFlagsOf, wrongLists } from '../../real/fuzzy-storage.ts';
import { World } from '../../real/world.ts';
import type { Chance } from '../../support/seed.ts';
import { messageOf } from '../users.ts';
import type { Judged } from '../users.ts';
import { killUnderLoad } from './kills.ts';
import type { Load } from './kills.ts';

const PER_SECOND = 8;

/** The same with a fuzzy storage, and with further classes of rspamd. */
export async function killFuzzyUnderLoad(
  load: Pick<Load, 'kills' | 'longestLifeMs'>,
  classes: readonly string[],
  own: Chance,
): Promise<void> {
  const flags = Object.fromEntries(
    [...VERDICTS, ...classes].map((name, index) => [name, 11 + index]),
  );
  const fuzzyFlags = Object.values(flags);
  await using world = await World.make({ rspamd: { classes, fuzzyFlags } });
  const users = { perSecond: PER_SECOND, classes, flips: 0.3, repeats: 0.05, recent: 40 };
  const settings = {
    LEARN_CLASSES: classes.join(),
    RSPAMD_FUZZY_FLAGS: fuzzyFlagsOf(flags),
  };
  const wrong = (all: readonly Judged[]) => {
    const sent = all.map((each) => ({ message: messageOf(each), verdict: each.verdict }));
    return wrongLists(world, flags, sent);
  };
  const all = { ...load, after: 'archive', lastJudgements: 40, feeds: 'rspamd' } as const;
  await killUnderLoad({ ...all, world, users, settings, wrong }, own);
}
