import { PrivateSpamd } from '../../lab/private-spamd.ts';
import { World } from '../../real/world.ts';
import type { Chance } from '../../support/seed.ts';
import type { Judged } from '../users.ts';
import { filesOf } from '../../support/spool-files.ts';
import { killUnderLoad } from './kills.ts';
import type { Load } from './kills.ts';
import { wrongInSpamd } from './spamassassin.ts';

const PER_SECOND = 8;
/** SpamAssassin learns ten a second at most, and the daemon's start costs it four: more is too many. */
const MOST_WAITING = 8;

/** The same with both filters, and each verdict of a message with bytes of its own. */
export async function killBothUnderLoad(
  load: Pick<Load, 'kills' | 'longestLifeMs'>,
  own: Chance,
): Promise<void> {
  await using spamd = await PrivateSpamd.start();
  await using world = await World.make();
  const users = {
    perSecond: PER_SECOND,
    flips: 0.3,
    repeats: 0.1,
    recent: 12,
    isBehind: () => filesOf(world).length > MOST_WAITING,
    regenerates: true,
  };
  const settings = {
    LEARN_TRAINERS: 'rspamd,spamassassin',
    SPAMD_URL: `spamd://127.0.0.1:${spamd.port}`,
    // A message that a killed daemon told spamd of can't be turned for eleven times as long.
    SPAMD_TIMEOUT_SECONDS: '4',
  };
  const wrong = (all: readonly Judged[]) => wrongInSpamd(spamd, all);
  const all = { ...load, after: 'remove', lastJudgements: 8, feeds: 'spamassassin' } as const;
  await killUnderLoad({ ...all, world, users, settings, wrong }, own);
}
