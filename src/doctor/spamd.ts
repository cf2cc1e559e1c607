import { FILTER_TITLES } from '../filter.ts';
import type { SpamdTrainer } from '../trainers/spamassassin/spamd.ts';
import { failed, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/**
 * SpamAssassin's spamd: teaches it a made message and has it forgotten again, which leaves its counters
 * as they were. Nothing less shows that it learns.
 */
export async function* checkSpamd(
  trainer: SpamdTrainer,
  user: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const { name } = trainer;
  const diagnosis = await trainer.diagnose(signal);
  switch (diagnosis.kind) {
    case 'works':
      yield ok(name, `learns${user === undefined ? '' : ` for ${user}`}, remembers and forgets`);
      break;
    case 'unavailable':
      // It may well be over in ten minutes: what was killed leaves its lock for that long.
      yield diagnosis.contact === 'answered'
        ? warning(name, `can't learn now: ${diagnosis.reason}`, diagnosis.hint ?? LATER)
        : failed(name, diagnosis.reason, diagnosis.hint ?? LOOK);
      break;
    case 'misconfigured':
      yield failed(name, diagnosis.reason, diagnosis.hint);
      break;
    case 'aborted':
      break;
  }
}

const LOOK = `look at the log of ${FILTER_TITLES.spamassassin}'s spamd`;
const LATER =
  'wait for what keeps it (an sa-learn, an expiry, other clients) and run this again; a lock that a killed process left counts for ten minutes';
