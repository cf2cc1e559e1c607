import { constants, existsSync, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { plainName, readText, restartCommand } from '../host.ts';
import type { Host } from '../host.ts';
import { closedFolder } from '../spool/drop-directory.ts';
import { Folder, statsAt } from '../spool/folder.ts';
import { bearsFinishingMark } from '../spool/message.ts';
import { octal } from '../spool/state-dir.ts';
import { isOutsiders, isUnmapped, outsidersCure } from '../spool/user-namespace.ts';
import { clean, inShell } from '../text.ts';
import type { Verdict } from '../verdict.ts';
import { failed, joined, notTried, ok, warning } from './finding.ts';
import type { Cure, Finding } from './finding.ts';
import { accessFault, hasName, named } from './machine.ts';
import type { Account } from './machine.ts';

/**
 * The drop directory: kopano-spamd's folders and the files in them, as the daemon's user (`account`)
 * finds them. Nothing is ever made, renamed or removed there.
 */

/** Files of each folder that are looked at. */
const SAMPLE = 200;
/** A file that is younger may still get its group. */
const UNFINISHED_MS = 10_000;
const { R_OK, W_OK, X_OK } = constants;

export interface SpoolCheckOptions {
  readonly libDir: string;
  /** All classes. */
  readonly verdicts: readonly Verdict[];
  readonly account: Account;
  readonly host: Host;
  /** Takes the class folders that can be opened; the caller closes them. */
  readonly opened: Folder[];
}

/** @returns false where nothing in it can be looked at */
export function* checkSpool(options: SpoolCheckOptions): Generator<Finding, boolean> {
  const { libDir, verdicts, opened } = options;
  const root = checkRoot(options);
  yield root;
  if (root.state !== 'ok') return false;
  for (const verdict of verdicts) yield checkClass(verdict, options);
  yield checkWriteAccess([{ path: libDir, stats: statSync(libDir, { bigint: true }) }, ...opened]);
  yield checkFiles(options);
  return true;
}

function checkRoot(options: SpoolCheckOptions): Finding {
  const { libDir, account } = options;
  const check = 'spool';
  const shut = shutFolder(libDir);
  try {
    const stats = statSync(libDir, { bigint: true });
    if (!stats.isDirectory()) {
      const cure = "set KOPANO_SPAMD_LIB to kopano-spamd's folder";
      return failed(check, `${libDir} is not a folder`, cure);
    }
    if (shut === undefined) return ok(check, `${libDir} is there (${ownershipOf(stats)})`);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const command = makeSpool(options);
      const make = command === undefined ? '' : ', or make it';
      return failed(check, `${libDir} is missing`, {
        says: `start kopano-spamd, which makes it, or set KOPANO_SPAMD_LIB to its folder${make}`,
        command,
      });
    }
    if (shut === undefined) {
      return failed(check, `${libDir} cannot be reached (${code})`, 'look at the file system');
    }
  }
  const stats = statSync(shut, { bigint: true });
  const whose = account.groups.includes(Number(stats.gid)) ? 'g' : 'o';
  const cure = { says: "let the daemon's user pass", command: `chmod ${whose}+x ${inShell(shut)}` };
  return failed(
    check,
    `${shut} may not be entered by ${named('uid', account.uid)} (${ownershipOf(stats)})`,
    isOutsiders(stats) ? outsidersCure(shut) : cure,
  );
}

/** The spool as kopano-spamd makes it, with the folder that it leaves to others. */
function makeSpool({ libDir, verdicts, account }: SpoolCheckOptions): string | undefined {
  const { uid, gid } = account;
  const owner = hasName('uid', 'kopano') ? 'kopano' : uid;
  const group = hasName('gid', 'kopano') ? 'kopano' : gid;
  if (owner === 0 || group === 0) return undefined;
  const folders = ['', ...verdicts.map((each) => `/${each}`)].map((each) =>
    inShell(`${libDir}${each}`),
  );
  return `install -d -o ${owner} -g ${group} -m 0755 ${folders.join(' ')}`;
}

/** The outermost folder on the way to the spool, itself included, that may not be entered. */
function shutFolder(libDir: string): string | undefined {
  const names = libDir.split('/');
  const folders = names.map((_, depth) => names.slice(0, depth + 1).join('/'));
  return folders.slice(1).find((folder) => accessFault(folder, X_OK) === 'EACCES');
}

function checkClass(verdict: Verdict, options: SpoolCheckOptions): Finding {
  const { libDir, opened } = options;
  try {
    const folder = Folder.open(`${libDir}/${verdict}`);
    opened.push(folder);
    return judgeClass(folder, verdict, options);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    const { says, hint, command } = closedFolder(libDir, verdict, code);
    const place = `${libDir}/${verdict}`;
    const stats = code === 'EACCES' ? statsAt(place) : undefined;
    if (stats !== undefined) {
      const who = `${named('uid', options.account.uid)} (${ownershipOf(stats)})`;
      const how = folderCure({ path: place, stats }, verdict, options);
      return failed(`${verdict}/`, `${place} may not be listed by ${who}`, how);
    }
    return failed(`${verdict}/`, says, { says: hint, command });
  }
}

function judgeClass(folder: Folder, verdict: Verdict, options: SpoolCheckOptions): Finding {
  const check = `${verdict}/`;
  const { account } = options;
  const { path: place, stats } = folder;
  const me = named('uid', account.uid);
  const cure = folderCure(folder, verdict, options);
  if (accessFault(folder.at('.'), R_OK | X_OK) !== undefined) {
    return failed(check, `${place} may not be listed by ${me} (${ownershipOf(stats)})`, cure);
  }
  const fault = accessFault(folder.at('.'), W_OK | X_OK);
  if (fault === 'EROFS') {
    return failed(
      check,
      `${place} lies on a read-only file system`,
      'mount it writable: a message is moved out of it (in a container: the volume without :ro)',
    );
  }
  if (fault !== undefined) {
    const says = `no message can be moved out of ${place} by ${me}, who may not write to it (${ownershipOf(stats)})`;
    return failed(check, says, cure);
  }
  const isSticky = (stats.mode & 0o1000n) !== 0n;
  if (isSticky && account.uid !== 0 && stats.uid !== BigInt(account.uid)) {
    const says = `${place} has the sticky bit: only a file's owner may move it`;
    return failed(check, says, { says: 'take it away', command: `chmod -t ${inShell(place)}` });
  }
  return ok(check, `${place} can be read and emptied (${ownershipOf(stats)})`);
}

/** Never the group root for a mail service, and nothing given to root. */
function folderCure(
  { path: place, stats }: Pick<Folder, 'path' | 'stats'>,
  verdict: Verdict,
  { libDir, account, host }: SpoolCheckOptions,
): Cure {
  const { uid, gid } = account;
  if (isUnmapped('uid', stats.uid) && isUnmapped('gid', stats.gid)) return outsidersCure(place);
  if (stats.uid === BigInt(uid)) {
    return { says: 'let its owner use it', command: `chmod 0755 ${inShell(place)}` };
  }
  const other = `${libDir}/${verdict === 'ham' ? 'spam' : 'ham'}`;
  const isLikeOther = uid !== 0 && statsAt(other)?.uid === BigInt(uid);
  // Who owns ham/ is kopano-spamd, which makes it; the others it, or somebody else, only writes to.
  if (stats.uid === 0n || (isLikeOther && verdict !== 'ham')) {
    const whose = isLikeOther
      ? `--reference=${inShell(other)}`
      : `${uid}${gid === 0 ? '' : `:${gid}`}`;
    const says = isLikeOther
      ? `let it belong to whom ${other} belongs to`
      : "let it be the daemon's user's";
    return { says, command: `chown ${whose} ${inShell(place)} && chmod 0755 ${inShell(place)}` };
  }
  if (stats.gid === 0n || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${named('uid', stats.uid)}, who owns it`;
  }
  if (host.kind === 'container' && !account.groups.includes(Number(stats.gid))) {
    return {
      says: `let its group write, and ${addGroup(stats.gid)}; or start it as ${named('uid', stats.uid)}`,
      command: `chmod g+rwx ${inShell(place)}`,
    };
  }
  return {
    says: `let its group write, and the daemon's user be in that group; or run the daemon as ${named('uid', stats.uid)}`,
    command: joined(`chmod g+rwx ${inShell(place)}`, joining(stats.gid, account, host)),
  };
}

/** What puts the daemon's user into a group, and lets the daemon have it. */
function joining(gid: bigint, account: Account, host: Host): string | undefined {
  if (account.groups.includes(Number(gid))) return undefined;
  const [user, known] = [plainName('uid', account.uid), plainName('gid', gid)];
  const isNamed = known !== String(gid);
  const group = isNamed ? known : `learnd-${gid}`;
  // There the file says all groups, and those of /etc/group don't count.
  const file = host.kind === 'runit' ? `${host.service}/user` : '';
  const groups = [account.gid, ...account.groups, Number(gid)].map((each) => `:${each}`);
  const isSaid = existsSync(file) && readText(file).trim() !== '';
  // A user without a line in /etc/passwd (a directory's, or a bare number) is none that usermod knows.
  const isKnown = user !== String(account.uid);
  if (!isKnown && !isSaid) return undefined;
  return joined(
    isNamed ? undefined : `groupadd --gid ${gid} ${group}`,
    isKnown ? `usermod -aG ${group} ${user}` : undefined,
    isSaid ? `echo :${account.uid}${[...new Set(groups)].join('')} >${inShell(file)}` : undefined,
    restartCommand(host),
  );
}

/** A container has the groups that it was started with. */
function addGroup(gid: bigint): string {
  return `give the container that group: --group-add ${gid} (docker, podman), group_add: ["${gid}"] (compose), supplementalGroups: [${gid}] (Kubernetes)`;
}

function checkWriteAccess(
  folders: readonly { readonly path: string; readonly stats: BigIntStats }[],
): Finding {
  const check = 'write access';
  const open = folders.filter(({ stats }) => (stats.mode & 0o002n) !== 0n).map(({ path }) => path);
  if (open.length === 0) return ok(check, 'nobody else may write to the spool');
  return warning(
    check,
    `everybody on this machine may write to ${open.join(' and ')}, and so decide what is learned`,
    { says: 'take that right away', command: `chmod o-w ${open.map(inShell).join(' ')}` },
  );
}

/** kopano-spamd gives its files to a group: a daemon without that reads none of them. */
function checkFiles({ opened: folders, account, host }: SpoolCheckOptions): Finding {
  const check = 'group';
  const me = named('uid', account.uid);
  let seen = 0;
  for (const { folder, rawName, stats } of sample(folders)) {
    const ageMs = Date.now() - Number(stats.mtimeMs);
    if (!bearsFinishingMark(stats.mode) && ageMs <= UNFINISHED_MS) continue;
    seen += 1;
    if (accessFault(folder.at(rawName), R_OK) === 'EACCES') {
      const says = `${folder.path}/${clean(rawName)} (${ownershipOf(stats)}) can't be read by ${me}`;
      return failed(check, says, groupCure(folder.path, stats, account, host));
    }
  }
  if (seen > 0) return ok(check, 'the messages that wait can be read');
  const groups = account.groups.map((gid) => named('gid', gid)).join(', ');
  const says = `no message waits; kopano-spamd gives each to its sa_group (amavis unless set), and ${me} has ${groups}`;
  return notTried(check, says);
}

function* sample(folders: readonly Folder[]) {
  for (const folder of folders) {
    if (accessFault(folder.at('.'), R_OK | X_OK) !== undefined) continue;
    let left = SAMPLE;
    for (const { rawName, regular } of folder.list()) {
      if (rawName.startsWith('.') || !regular) continue;
      if ((left -= 1) < 0) break;
      const stats = folder.lstat(rawName);
      if (stats?.isFile() === true) yield { folder, rawName, stats };
    }
  }
}

function groupCure(place: string, stats: BigIntStats, account: Account, host: Host): Cure {
  if (isOutsiders(stats)) return outsidersCure(place);
  if ((stats.mode & 0o040n) === 0n) {
    return "it has no read permission for its group: look at sa_group in kopano-spamd's configuration, and whether that group exists";
  }
  if (stats.gid === 0n) {
    return "set sa_group in kopano-spamd's configuration to a group of the daemon's user, not to root's";
  }
  if (account.groups.includes(Number(stats.gid)) || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${named('uid', stats.uid)}`;
  }
  if (host.kind === 'container') {
    return addGroup(stats.gid);
  }
  return {
    says: `give the daemon's user the group ${plainName('gid', stats.gid)}, which is kopano-spamd's sa_group, and start the daemon again`,
    command: joining(stats.gid, account, host),
  };
}

function ownershipOf({ uid, gid, mode }: BigIntStats): string {
  return `${named('uid', uid)}, ${named('gid', gid)}, mode ${octal(mode)}`;
}
