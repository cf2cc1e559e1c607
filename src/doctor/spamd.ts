import { existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { FILTER_TITLES } from '../filter.ts';
import { accountLine, plainName, serverCommand } from '../host.ts';
import { inShell } from '../text.ts';
import { createSpamAssassin } from '../trainers/create.ts';
import { failed, joined, notTried, ok, warning } from './finding.ts';
import type { Case, Finding } from './finding.ts';
import { isHere, optionOf, spamdHere } from './machine.ts';

/**
 * SpamAssassin, by spamd or by sa-learn: teaches it a made message and has it forgotten again, which leaves its counters
 * as they were. Nothing less shows that it learns.
 */
export async function* checkSpamd(given: Case): AsyncGenerator<Finding> {
  const { address } = given.config.spamd;
  const trainer = createSpamAssassin(given.config.spamd);
  const { name } = trainer;
  const diagnosis = await trainer.diagnose(given.stop);
  switch (diagnosis.kind) {
    case 'works':
      yield whoLearns(name, given);
      break;
    case 'unavailable': {
      // It may well be over in ten minutes: what was killed leaves its lock for that long.
      if (diagnosis.contact === 'answered') {
        yield warning(name, `can't learn now: ${diagnosis.reason}`, diagnosis.hint ?? LATER);
        break;
      }
      const isService = address.program === undefined && isHere(address);
      const command = isService
        ? serverCommand(['spamd', 'spamassassin'], given.environment)
        : undefined;
      yield failed(name, diagnosis.reason, { hint: diagnosis.hint ?? LOOK, command });
      break;
    }
    case 'misconfigured':
      yield failed(name, diagnosis.reason, diagnosis.hint);
      break;
    case 'aborted':
      break;
  }
  yield* checkReporting(given);
}

/** Learning into a Bayes that nobody reads looks as well as any. */
function whoLearns(name: string, { config, identity }: Case): Finding {
  const { address, user } = config.spamd;
  const seen = spamdHere(address)?.user;
  const known = seen === 'root' ? user : (seen ?? user);
  const learner = address.program === undefined ? known : plainName('uid', identity.uid);
  const says = `learns${learner === undefined ? '' : ` for ${learner}`}, remembers and forgets`;
  const reader = AMAVIS.find((each) => accountLine('uid', 0, each) !== undefined);
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

const REPORTS = 'reports';

/**
 * What of the reports can be seen from here: whether spamd sends any, and whether Razor, which takes those
 * of a registered identity alone, has one where spamd has it look (SpamAssassin 4.0.1, razor 2.85).
 */
function* checkReporting({ config, environment }: Case): Generator<Finding> {
  const { address, user, report } = config.spamd;
  if (!report) return;
  const spamd = spamdHere(address);
  if (spamd?.args.some((arg) => ['-L', '--local'].includes(arg)) === true) {
    yield warning(
      REPORTS,
      'SPAMD_REPORT is set, and spamd runs with --local, which reports nothing',
      'start spamd without --local (-L), and with two processes (-m 2): a report occupies one for up to 90 s',
    );
    return;
  }
  const owner = user ?? spamd?.user;
  const named = optionOf(spamd?.args ?? [], '-H', '--helper-home-dir');
  // Without a folder the option means the user's own, and what follows it is another option.
  const home = named?.startsWith('/') === true ? named : owner && accountLine('uid', 0, owner)?.[5];
  if (!isHere(address) || owner === undefined || home === undefined) {
    const where = isHere(address)
      ? 'SPAMD_USER names no user of this machine'
      : 'spamd is elsewhere';
    yield notTried(REPORTS, `${where}: whether Razor has an identity there is not known`);
  } else if (!hasProgram('razor-admin', environment['PATH'])) {
    yield notTried(REPORTS, 'razor is not installed here: nothing is reported to Razor');
  } else {
    yield checkIdentity(owner, join(home, '.razor'));
  }
}

function checkIdentity(user: string, folder: string): Finding {
  const identity = join(folder, 'identity');
  try {
    statSync(identity);
    return ok(REPORTS, `Razor has an identity, ${identity}`);
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown';
    if (code !== 'ENOENT') {
      return notTried(
        REPORTS,
        `whether Razor has an identity, ${identity}, can't be seen (${code})`,
      );
    }
  }
  const admin = `runuser -u ${inShell(user)} -- razor-admin -home=${inShell(folder)}`;
  return warning(REPORTS, `Razor takes no report: it has no identity in ${folder}`, {
    hint: `register one, once Razor's servers can be reached; the image of mlan/postfix-amavis does it with RAZOR_REGISTRATION=:. Without Razor set use_razor2 0`,
    command: joined(`${admin} -create`, `${admin} -register`),
  });
}

function hasProgram(name: string, searchPath = ''): boolean {
  return searchPath.split(delimiter).some((folder) => existsSync(join(folder, name)));
}
