import { execFileSync } from 'node:child_process';
import type { StdioOptions } from 'node:child_process';
import { lstatSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { SpoolConfig } from './config.ts';
import { EXIT, OperatorError, ifAllowed } from './errors.ts';
import { installCommand, readText } from './host.ts';
import { isUnmapped } from './spool/user-namespace.ts';
import { clean, inShell } from './text.ts';

/**
 * Whom a command runs as. What touches the spool, started by root, becomes the spool's owner: what root
 * makes there keeps the daemon out. It does so by a child under `setpriv` (util-linux), because Debian's
 * Node.js refuses setuid() (its guard against CVE-2024-22017).
 */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** The user's name; `undefined` where the number has none, and so no groups of its own. */
  readonly name: string | undefined;
  /** Why this one. */
  readonly because: string;
}

export interface AccountQuery {
  readonly spool: Pick<SpoolConfig, 'libDir' | 'stateDir'>;
  /** `--user NAME`. */
  readonly wanted: string | undefined;
  /** Whom this process runs as. */
  readonly uid: number;
  /** It changes what is in the spool, so that it must not do so as root by mistake. */
  readonly writes: boolean;
}

/**
 * Whom to become.
 * @returns `undefined` to stay who this process is
 * @throws {OperatorError} `user.*`, exit 64 or 78
 */
export function accountFor({ spool, wanted, uid, writes }: AccountQuery): Account | undefined {
  if (wanted !== undefined) {
    const found = lookUp(wanted);
    if (found === undefined) {
      const says = `there is no user ${clean(wanted)} on this machine`;
      throw usage(says, 'correct the name: see getent passwd');
    }
    if (found.uid === uid) return undefined;
    if (uid === 0) return { ...found, because: 'by --user' };
    throw usage(`only root may run it as ${clean(wanted)}`, 'say it as root, or without --user');
  }
  if (uid !== 0) return undefined;
  const owned = ownerOf(spool, writes);
  // Who has no number in this container can't be become.
  if (owned !== undefined && isUnmapped('uid', owned.uid)) return undefined;
  if (owned !== undefined && owned.uid !== 0) {
    const { place, ...ids } = owned;
    const because = `who owns ${place}`;
    return { ...ids, name: undefined, ...lookUp(String(ids.uid)), because };
  }
  if (!writes || !isRealRoot()) return undefined;
  throw owned === undefined ? noOwner(spool.libDir) : ownedByRoot(spool, owned.place);
}

/** Whom root's `watch` would run as, or why it would not. */
export function rootsAccount(spool: AccountQuery['spool']): {
  readonly account?: Account | undefined;
  readonly refusal?: OperatorError;
} {
  try {
    return { account: accountFor({ spool, wanted: undefined, uid: 0, writes: true }) };
  } catch (error) {
    if (error instanceof OperatorError) return { refusal: error };
    throw error;
  }
}

/** True when one of the paths lies in the spool, or in the state dir. */
export function isInSpool(
  paths: readonly string[],
  { libDir, stateDir }: AccountQuery['spool'],
): boolean {
  const realPlace = (place: string): string =>
    ifAllowed(() => realpathSync(place)) ?? path.resolve(place);
  const places = [libDir, stateDir].map(realPlace);
  return paths
    .map(realPlace)
    .some((each) => places.some((place) => each === place || each.startsWith(`${place}/`)));
}

/** The command line that runs another one as somebody else; it dies with this process. */
export function asAccount({ uid, gid, name }: Account, command: readonly string[]): string[] {
  const groups = name === undefined ? '--clear-groups' : '--init-groups';
  const ids = [`--reuid=${uid}`, `--regid=${gid}`, groups];
  return ['setpriv', ...ids, '--pdeathsig=TERM', '--', ...command];
}

/**
 * What kept a child from being that user, by its exit code.
 * @param can whether that user can run a command, asked only when it may be the reason
 * @returns `undefined` where it was the command itself that ended so
 */
export function refusalOf(
  account: Account,
  code: number | 'ENOENT',
  program: readonly string[],
  can: (...command: readonly string[]) => boolean,
): OperatorError | undefined {
  const who = `uid ${account.uid}${account.name === undefined ? '' : ` (${account.name})`}`;
  const isEarly = code === EXIT.failure && !can('true');
  if (code === 'ENOENT' || isEarly) {
    return refused(
      `the program setpriv, by which root's command becomes ${who}, is missing, or is busybox's`,
      "install util-linux's, or run the command as that user",
      installCommand('util-linux', 'setpriv', 'util-linux-core'),
    );
  }
  if (code === 127) {
    return refused(
      `this process may not become ${who}, ${account.because}`,
      `in a container start it as that user: --user ${account.uid}:${account.gid} (or give it the capabilities SETUID and SETGID)`,
    );
  }
  if (code === 126 || (code === EXIT.failure && !can('test', '-r', program[1] ?? ''))) {
    return refused(
      `${who}, ${account.because}, may not read the program: ${program.join(', ')}`,
      'install it where everybody may read it, such as /usr/local/lib/kopano-learnd',
    );
  }
  return undefined;
}

/**
 * The state dir's owner, else that of `ham/`, which kopano-spamd makes. Who only reads sees more of what
 * is wrong with a state dir of root's as `ham/`'s owner.
 */
function ownerOf({ libDir, stateDir }: AccountQuery['spool'], writes: boolean) {
  const owners = [stateDir, path.join(libDir, 'ham')].flatMap((place) => {
    const stats = ifAllowed(() => lstatSync(place));
    return stats?.isDirectory() === true ? [{ uid: stats.uid, gid: stats.gid, place }] : [];
  });
  const others = owners.filter(({ uid }) => uid !== 0);
  return (writes ? undefined : others[0]) ?? owners[0];
}

/** @param user a name or a number */
function lookUp(user: string) {
  if (user === 'root') return { uid: 0, gid: 0, name: user };
  const [name, , uid, gid] = passwdLine(user) ?? [];
  return uid === undefined ? undefined : { uid: Number(uid), gid: Number(gid), name };
}

/** As getent(1) has it, which asks LDAP, too, where the machine does. */
function passwdLine(user: string): string[] | undefined {
  if (user.startsWith('-')) return undefined;
  try {
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
    const line = execFileSync('getent', ['passwd', user], { encoding: 'utf8', stdio });
    return line.trim().split(':');
  } catch {
    return undefined; // no such user
  }
}

/** In a user namespace, as rootless containers have them, root is an ordinary user outside. */
function isRealRoot(): boolean {
  const map = readText('/proc/self/uid_map');
  return map === '' || /^\s*0\s+0\s+4294967295\s*$/.test(map); // '': a kernel without them
}

function noOwner(libDir: string): OperatorError {
  return refused(
    `there is no ${libDir}/ham yet: root's commands run as its owner, and not as root`,
    'start kopano-spamd, which makes it, or correct KOPANO_SPAMD_LIB, or say --user NAME',
  );
}

function ownedByRoot({ libDir, stateDir }: AccountQuery['spool'], place: string): OperatorError {
  const ham = ifAllowed(() => lstatSync(path.join(libDir, 'ham')));
  const isHams = place === stateDir && ham !== undefined && ham.uid !== 0;
  // With ham/, all that lies beside it is root's by the same mistake.
  const whole = ham?.uid === 0 ? libDir : place;
  return refused(
    `${place} belongs to root, and root's own spool is not used by mistake`,
    isHams
      ? 'let it belong to whom ham/ belongs to:'
      : 'give it to the user of kopano-spamd; or, if root is meant, say --user root',
    isHams
      ? `chown -R --reference=${inShell(`${libDir}/ham`)} ${inShell(stateDir)}`
      : `chown -R kopano:kopano ${inShell(whole)}`,
  );
}

function usage(message: string, hint: string): OperatorError {
  return new OperatorError({ code: 'user.usage', message, hint, exitCode: EXIT.usage });
}

function refused(message: string, hint: string, command?: string): OperatorError {
  const exitCode = EXIT.configuration;
  return new OperatorError({ code: 'user.refused', message, hint, command, exitCode });
}
