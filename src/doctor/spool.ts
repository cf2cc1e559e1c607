import { constants, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { openErrorHint } from '../spool/drop-directory.ts';
import { Folder } from '../spool/folder.ts';
import { bearsFinishingMark } from '../spool/message.ts';
import { octal } from '../spool/state-dir.ts';
import { isOutsiders, isUnmapped, outsidersCure } from '../spool/user-namespace.ts';
import { clean } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { accessFault, named, plainName } from './machine.ts';
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

/**
 * @param opened takes the class folders that can be opened; the caller closes them
 * @returns false where nothing in it can be looked at
 */
export function* checkSpool(
  libDir: string,
  account: Account,
  opened: Folder[],
): Generator<Finding, boolean> {
  const root = checkRoot(libDir, account);
  yield root;
  if (root.state !== 'ok') return false;
  for (const verdict of VERDICTS) yield checkClass(libDir, verdict, account, opened);
  yield checkWriteAccess([{ path: libDir, stats: statSync(libDir, { bigint: true }) }, ...opened]);
  yield checkFiles(opened, account);
  return true;
}

function checkRoot(libDir: string, account: Account): Finding {
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
      return failed(
        check,
        `${libDir} is missing`,
        `start kopano-spamd, which makes it, or set KOPANO_SPAMD_LIB to its folder; else, with kopano-spamd's user and group: install -d -o USER -g GROUP -m 0755 ${libDir}`,
      );
    }
    if (shut === undefined) {
      return failed(check, `${libDir} cannot be reached (${code})`, 'look at the file system');
    }
  }
  const stats = statSync(shut, { bigint: true });
  const cure = account.groups.includes(Number(stats.gid))
    ? `chmod g+x ${shut}`
    : `give the daemon's user that group and the folder g+x, or: chmod o+x ${shut}`;
  return failed(
    check,
    `${shut} may not be entered by ${named('uid', account.uid)} (${ownershipOf(stats)})`,
    isOutsiders(stats) ? outsidersCure(shut) : cure,
  );
}

/** The outermost folder on the way to the spool, itself included, that may not be entered. */
function shutFolder(libDir: string): string | undefined {
  const names = libDir.split('/');
  const folders = names.map((_, depth) => names.slice(0, depth + 1).join('/'));
  return folders.slice(1).find((folder) => accessFault(folder, X_OK) === 'EACCES');
}

function checkClass(libDir: string, verdict: Verdict, account: Account, opened: Folder[]): Finding {
  try {
    const folder = Folder.open(`${libDir}/${verdict}`);
    opened.push(folder);
    return judgeClass(folder, `${verdict}/`, account);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    const { message, cure } = openErrorHint(libDir, verdict, code);
    return failed(`${verdict}/`, message.replace(/[;.] .*$/, ''), cure);
  }
}

function judgeClass(folder: Folder, check: string, account: Account): Finding {
  const { path: place, stats } = folder;
  const me = named('uid', account.uid);
  if (isBlind(account)) {
    return notTried(
      check,
      `${place} is there (${ownershipOf(stats)}); whether ${me} may empty it is not tried as root`,
    );
  }
  const cure = `${ownershipOf(stats)}: ${folderCure(place, stats, account)}`;
  if (accessFault(folder.at('.'), R_OK | X_OK) !== undefined) {
    return failed(check, `${place} may not be listed by ${me}`, cure);
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
    const says = `no message can be moved out of ${place} by ${me}, who may not write to it`;
    return failed(check, says, cure);
  }
  const isSticky = (stats.mode & 0o1000n) !== 0n;
  if (isSticky && account.uid !== 0 && stats.uid !== BigInt(account.uid)) {
    const says = `${place} has the sticky bit: only a file's owner may move it`;
    return failed(check, says, `chmod -t ${place}`);
  }
  return ok(check, `${place} can be read and emptied (${ownershipOf(stats)})`);
}

function folderCure(place: string, stats: BigIntStats, { uid }: Account): string {
  const hasUser = stats.uid !== 0n && !isUnmapped('uid', stats.uid);
  const asOwner = `run the daemon as ${named('uid', stats.uid)}`;
  if (isUnmapped('gid', stats.gid)) return hasUser ? asOwner : outsidersCure(place);
  const group = `give ${named('uid', uid)} that group and the folder mode 0770 or 2770 (chmod g+rwx ${place})`;
  return hasUser ? `${group}, or ${asOwner}` : group;
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
    `chmod o-w ${open.join(' ')}`,
  );
}

/** kopano-spamd gives its files to a group: a daemon without that reads none of them. */
function checkFiles(folders: readonly Folder[], account: Account): Finding {
  const check = 'group';
  const me = named('uid', account.uid);
  if (isBlind(account)) {
    return notTried(check, `whether ${me} may read the messages is not tried as root`);
  }
  let seen = 0;
  for (const { folder, rawName, stats } of sample(folders)) {
    const ageMs = Date.now() - Number(stats.mtimeMs);
    if (!bearsFinishingMark(stats.mode) && ageMs <= UNFINISHED_MS) continue;
    seen += 1;
    if (accessFault(folder.at(rawName), R_OK) === 'EACCES') {
      const says = `${folder.path}/${clean(rawName)} (${ownershipOf(stats)}) can't be read by ${me}`;
      return failed(check, says, groupCure(folder.path, stats, account));
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

function groupCure(place: string, stats: BigIntStats, account: Account): string {
  if (isOutsiders(stats)) return outsidersCure(place);
  if ((stats.mode & 0o040n) === 0n) {
    return "it has no read permission for its group: look at sa_group in kopano-spamd's configuration, and whether that group exists";
  }
  if (account.groups.includes(Number(stats.gid)) || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${named('uid', stats.uid)}`;
  }
  const [user, group] = [plainName('uid', account.uid), plainName('gid', stats.gid)];
  return `give the daemon's user that group (usermod -aG ${group} ${user}, SupplementaryGroups=${group} for systemd, chpst -u ${user}:${group} for runit, group_add: ["${stats.gid}"] for a container), or set sa_group in kopano-spamd's configuration to a group that it has`;
}

/** Root may do everything: it sees nothing of what the daemon's user may not. */
function isBlind({ uid }: Account): boolean {
  return uid !== 0 && process.geteuid?.() === 0;
}

function ownershipOf({ uid, gid, mode }: BigIntStats): string {
  return `${named('uid', uid)}, ${named('gid', gid)}, mode ${octal(mode)}`;
}
