import type { Config } from '../config.ts';
import { FILTER_TITLES } from '../filter.ts';
import { serverCommand } from '../host.ts';
import type { Environment } from '../settings.ts';
import type { SpamAssassinTrainer } from '../trainers/create.ts';
import { failed, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { hasName } from './machine.ts';
import { isSpamdHere, spamdHere } from './spamd-here.ts';

export interface SpamdCheck {
  readonly trainer: SpamAssassinTrainer;
  readonly spamd: Pick<Config['spamd'], 'address' | 'user'>;
  /** Whom this process runs as, by name. */
  readonly me: string;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/**
 * SpamAssassin, by spamd or by sa-learn: teaches it a made message and has it forgotten again, which leaves its counters
 * as they were. Nothing less shows that it learns.
 */
export async function* checkSpamd(check: SpamdCheck): AsyncGenerator<Finding> {
  const { trainer, spamd, environment, signal } = check;
  const { name } = trainer;
  const diagnosis = await trainer.diagnose(signal);
  switch (diagnosis.kind) {
    case 'works':
      yield whoLearns(check);
      break;
    case 'unavailable': {
      // It may well be over in ten minutes: what was killed leaves its lock for that long.
      if (diagnosis.contact === 'answered') {
        yield warning(name, `can't learn now: ${diagnosis.reason}`, diagnosis.hint ?? LATER);
        break;
      }
      const isHere = spamd.address.program === undefined && isSpamdHere(spamd.address);
      const command = isHere ? serverCommand(['spamd', 'spamassassin'], environment) : undefined;
      yield failed(name, diagnosis.reason, { says: diagnosis.hint ?? LOOK, command });
      break;
    }
    case 'misconfigured':
      yield failed(name, diagnosis.reason, diagnosis.hint);
      break;
    case 'aborted':
      break;
  }
}

/** Learning into a Bayes that nobody reads looks as well as any. */
function whoLearns({ trainer: { name }, spamd: { address, user }, me }: SpamdCheck): Finding {
  const seen = spamdHere(address)?.user;
  const known = seen === 'root' ? user : (seen ?? user);
  const learner = address.program === undefined ? known : me;
  const says = `learns${learner === undefined ? '' : ` for ${learner}`}, remembers and forgets`;
  const reader = AMAVIS.find((each) => hasName('uid', each));
  if (learner === undefined || reader === undefined || learner === reader) return ok(name, says);
  const how =
    address.program === undefined
      ? `set SPAMD_USER=${reader}, or let spamd run as ${reader}`
      : `run the daemon as ${reader}`;
  return warning(
    name,
    `${says}; amavis on this machine reads the Bayes of ${reader}`,
    `${how}; no need where bayes_path is one for both`,
  );
}

/** As whom amavis runs: on Debian, Alpine and Fedora, and elsewhere. */
const AMAVIS = ['amavis', 'vscan'];
const LOOK = `look at the log of ${FILTER_TITLES.spamassassin}'s spamd`;
const LATER =
  'wait for what keeps it (an sa-learn, an expiry, other clients) and run this again; a lock that a killed process left counts for ten minutes';
