import { existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Config } from '../config.ts';
import { errnoOf } from '../errors.ts';
import { plainName, readText } from '../host.ts';
import { joined, notTried, ok, quoted, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { isThisMachine } from './here.ts';

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
  const isHere = address.socketPath !== undefined || isThisMachine(address.host);
  const spamd = isHere ? spamdHere(address.socketPath) : undefined;
  if (spamd?.args.some((arg) => ['-L', '--local'].includes(arg)) === true) {
    yield warning(
      CHECK,
      'SPAMD_REPORT is set, and spamd runs with --local, which reports nothing',
      'start spamd without --local (-L), and with two processes (-m 2): a report occupies one for up to 90 s',
    );
    return;
  }
  const owner = user ?? spamd?.user;
  const named = optionIn(spamd?.args ?? [], '-H', '--helper-home-dir');
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
  const admin = `runuser -u ${quoted(user)} -- razor-admin -home=${quoted(folder)}`;
  return warning(CHECK, `Razor takes no report: it has no identity in ${folder}`, {
    says: `register one, once Razor's servers can be reached; the image of mlan/postfix-amavis does it with RAZOR_REGISTRATION=:. Without Razor set use_razor2 0`,
    command: joined(`${admin} -create`, `${admin} -register`),
  });
}

interface Spamd {
  /** Its words after the program. */
  readonly args: readonly string[];
  /** Whom it runs as, or whom its processes become. */
  readonly user: string;
}

/** The one spamd that may listen there; `undefined` where none can be seen, or several. */
function spamdHere(socketPath: string | undefined): Spamd | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.flatMap((pid) => {
    const words = readText(`/proc/${pid}/cmdline`).split('\0');
    // perl -T -w /usr/sbin/spamd; a child calls itself "spamd child"
    const at = words.slice(0, 4).findIndex((word) => /(^|\/)spamd$/.test(word));
    const args = words.slice(at + 1);
    const isIt =
      socketPath === undefined
        ? !args.some((arg) => arg.startsWith('--socketpath'))
        : args.some((arg) => arg === socketPath || arg === `--socketpath=${socketPath}`);
    const user = optionIn(args, '-u', '--username') ?? userOf(pid);
    return at >= 0 && isIt ? [{ args, user }] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

function userOf(pid: string): string {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1] ?? '';
  return plainName('uid', Number(uid));
}

/** The value of an option, which follows it or is joined to it. */
function optionIn(args: readonly string[], short: string, long: string): string | undefined {
  const at = args.findIndex((arg) => [short, long].includes(arg));
  if (at >= 0) return args[at + 1];
  const joint = args.find((arg) => arg.startsWith(`${long}=`) || /^-[^-]/.exec(arg)?.[0] === short);
  return joint?.slice(joint.startsWith('--') ? long.length + 1 : short.length);
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
