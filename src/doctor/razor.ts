import { existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Config } from '../config.ts';
import { errnoOf } from '../errors.ts';
import { readText } from '../host.ts';
import { inShell } from '../text.ts';
import { joined, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { isSpamdHere, optionOf, spamdHere } from './spamd-here.ts';

const CHECK = 'reports';

/**
 * What of the reports can be seen from here: whether spamd sends any, and whether Razor, which takes those
 * of a registered identity alone, has one where spamd has it look (SpamAssassin 4.0.1, razor 2.85).
 */
export function* checkReporting(
  { address, user, report }: Config['spamd'],
  searchPath: string | undefined,
): Generator<Finding> {
  if (!report) return;
  const isHere = isSpamdHere(address);
  const spamd = spamdHere(address);
  if (spamd?.args.some((arg) => ['-L', '--local'].includes(arg)) === true) {
    yield warning(
      CHECK,
      'SPAMD_REPORT is set, and spamd runs with --local, which reports nothing',
      'start spamd without --local (-L), and with two processes (-m 2): a report occupies one for up to 90 s',
    );
    return;
  }
  const owner = user ?? spamd?.user;
  const named = optionOf(spamd?.args ?? [], '-H', '--helper-home-dir');
  // Without a folder the option means the user's own, and what follows it is another option.
  const home = named?.startsWith('/') === true ? named : owner && homeOf(owner);
  if (!isHere || owner === undefined || home === undefined) {
    const where = isHere ? 'SPAMD_USER names no user of this machine' : 'spamd is elsewhere';
    yield notTried(CHECK, `${where}: whether Razor has an identity there is not known`);
  } else if (!hasProgram('razor-admin', searchPath)) {
    yield notTried(CHECK, 'razor is not installed here: nothing is reported to Razor');
  } else {
    yield checkIdentity(owner, join(home, '.razor'));
  }
}

function checkIdentity(user: string, folder: string): Finding {
  const identity = join(folder, 'identity');
  try {
    statSync(identity);
    return ok(CHECK, `Razor has an identity, ${identity}`);
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown';
    if (code !== 'ENOENT') {
      return notTried(CHECK, `whether Razor has an identity, ${identity}, can't be seen (${code})`);
    }
  }
  const admin = `runuser -u ${inShell(user)} -- razor-admin -home=${inShell(folder)}`;
  return warning(CHECK, `Razor takes no report: it has no identity in ${folder}`, {
    says: `register one, once Razor's servers can be reached; the image of mlan/postfix-amavis does it with RAZOR_REGISTRATION=:. Without Razor set use_razor2 0`,
    command: joined(`${admin} -create`, `${admin} -register`),
  });
}

function hasProgram(name: string, searchPath = ''): boolean {
  return searchPath.split(delimiter).some((folder) => existsSync(join(folder, name)));
}

function homeOf(user: string): string | undefined {
  const line = readText('/etc/passwd')
    .split('\n')
    .find((each) => each.startsWith(`${user}:`));
  return line?.split(':')[5];
}
