import { accessSync, constants, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../errors.ts';
import { complainOf } from '../spool/complaint.ts';
import { Folder } from '../spool/folder.ts';
import { bearsFinishingMark } from '../spool/message.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { octal } from '../spool/state-dir.ts';
import { isOutsiders, isUnmapped, outsidersCure } from '../spool/user-namespace.ts';
import { clean } from '../text.ts';
import { groupName, plainName, userName } from './accounts.ts';
import type { Identity } from './accounts.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/**
 * The drop directory: kopano-spamd's folders and the files in them. Nothing is ever made, renamed or
 * removed there.
 */
export interface SpoolCheckOptions {
  readonly libDir: string;
  /** Whom the daemon runs as. */
  readonly identity: Identity;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}

/** Files of each folder that are looked at. */
const SAMPLE = 200;
/** A file that is younger may still get its group. */
const UNFINISHED_MS = 10_000;

export interface SpoolFindings {
  readonly findings: readonly Finding[];
  /** False where nothing in it can be looked at. */
  readonly isReachable: boolean;
}

export function checkSpool(options: SpoolCheckOptions): SpoolFindings {
  const { libDir, identity } = options;
  const unreachable = (finding: Finding): SpoolFindings => ({
    findings: [finding],
    isReachable: false,
  });
  let stats: BigIntStats;
  try {
    stats = statSync(libDir, { bigint: true });
  } catch (error) {
    return unreachable(missing(libDir, error, identity));
  }
  if (!stats.isDirectory()) {
    return unreachable(
      failed('spool', `${libDir} is not a folder`, 'set KOPANO_SPAMD_LIB to kopano-spamd’s folder'),
    );
  }
  if (!mayEnter(libDir)) return unreachable(closed(libDir, stats, identity));
  const opened = VERDICTS.map((verdict) => openClass(options, verdict));
  const folders = opened.flatMap(({ folder }) => folder ?? []);
  try {
    return {
      findings: [
        ok('spool', `${libDir} is there (${ownerOf(stats)})`),
        ...opened.map(({ finding }) => finding),
        checkWorld([{ path: libDir, stats }, ...folders]),
        checkFiles(options, folders),
      ],
      isReachable: true,
    };
  } finally {
    for (const folder of folders) folder.close();
  }
}

function missing(libDir: string, error: unknown, identity: Identity): Finding {
  const code = errnoOf(error);
  if (code === undefined) throw error;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return failed(
      'spool',
      `${libDir} is missing`,
      `start kopano-spamd, which makes it, or set KOPANO_SPAMD_LIB to its folder; else, with kopano-spamd's user and group: install -d -o USER -g GROUP -m 0755 ${libDir}`,
    );
  }
  for (let above = '/'; code === 'EACCES' && above !== libDir; above = below(above, libDir)) {
    const stats = statSync(above, { bigint: true, throwIfNoEntry: false });
    if (stats !== undefined && !mayEnter(above)) return closed(above, stats, identity);
  }
  return failed('spool', `${libDir} cannot be reached (${code})`, 'look at the file system');
}

/** A folder on the way to the spool, or the spool itself. */
function closed(folder: string, stats: BigIntStats, identity: Identity): Finding {
  return failed(
    'spool',
    `${folder} may not be entered by ${me(identity)} (${ownerOf(stats)})`,
    isOutsiders(stats)
      ? outsidersCure(folder)
      : identity.groups.includes(Number(stats.gid))
        ? `chmod g+x ${folder}`
        : `give the daemon's user that group and the folder g+x, or: chmod o+x ${folder}`,
  );
}

/** The folder after `above` on the way down. */
function below(above: string, place: string): string {
  const [next = ''] = place.slice(above.length).replace(/^\//, '').split('/');
  return path.join(above, next);
}

function mayEnter(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function openClass(
  { libDir, identity }: SpoolCheckOptions,
  verdict: Verdict,
): { readonly finding: Finding; readonly folder?: Folder } {
  const check = `${verdict}/`;
  let folder: Folder;
  try {
    folder = Folder.open(`${libDir}/${verdict}`);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    const { message, cure } = complainOf(libDir, verdict, code);
    return { finding: failed(check, message.replace(/[;.] .*$/, ''), cure) };
  }
  const { path, stats } = folder;
  if (isBlind(identity)) {
    const says = `${path} is there (${ownerOf(stats)}); whether ${me(identity)} may empty it is not tried as root`;
    return { finding: notTried(check, says), folder };
  }
  const cure = `${ownerOf(stats)}: ${folderCure(path, stats, identity)}`;
  if (!may(folder, constants.R_OK | constants.X_OK)) {
    return { finding: failed(check, `${path} may not be listed by ${me(identity)}`, cure), folder };
  }
  const writing = refusalOf(folder, constants.W_OK | constants.X_OK);
  if (writing === 'EROFS') {
    return {
      finding: failed(
        check,
        `${path} lies on a read-only file system`,
        'mount it writable: a message is moved out of it (in a container: the volume without :ro)',
      ),
      folder,
    };
  }
  if (writing !== undefined) {
    const says = `no message can be moved out of ${path} by ${me(identity)}, who may not write to it`;
    return { finding: failed(check, says, cure), folder };
  }
  const isSticky = (stats.mode & 0o1000n) !== 0n;
  if (isSticky && identity.uid !== 0 && stats.uid !== BigInt(identity.uid)) {
    const says = `${path} has the sticky bit: only a file's owner may move it`;
    return { finding: failed(check, says, `chmod -t ${path}`), folder };
  }
  return { finding: ok(check, `${path} can be read and emptied (${ownerOf(stats)})`), folder };
}

function folderCure(path: string, stats: BigIntStats, identity: Identity): string {
  const isNobody = stats.uid === 0n || isUnmapped('uid', stats.uid);
  const asOwner = isNobody ? [] : [`run the daemon as ${userName(stats.uid)}`];
  if (isUnmapped('gid', stats.gid)) return asOwner[0] ?? outsidersCure(path);
  const group = `give ${userName(identity.uid)} that group and the folder mode 0770 or 2770 (chmod g+rwx ${path})`;
  return [group, ...asOwner].join(', or ');
}

function checkWorld(
  folders: readonly { readonly path: string; readonly stats: BigIntStats }[],
): Finding {
  const open = folders.filter(({ stats }) => (stats.mode & 0o002n) !== 0n).map(({ path }) => path);
  if (open.length === 0) return ok('strangers', 'nobody else may write to the spool');
  return warning(
    'strangers',
    `everybody on this machine may write to ${open.join(' and ')}, and so decide what is learned`,
    `chmod o-w ${open.join(' ')}`,
  );
}

/** kopano-spamd gives its files to a group: a daemon without that reads none of them. */
function checkFiles(options: SpoolCheckOptions, folders: readonly Folder[]): Finding {
  const { identity, wall } = options;
  const check = 'group';
  if (isBlind(identity)) {
    return notTried(check, `whether ${me(identity)} may read the messages is not tried as root`);
  }
  let seen = 0;
  for (const folder of folders.filter((each) => may(each, constants.R_OK | constants.X_OK))) {
    let left = SAMPLE;
    for (const { rawName, regular } of folder.list()) {
      if (rawName.startsWith('.') || !regular) continue;
      if ((left -= 1) < 0) break;
      const stats = folder.lstat(rawName);
      if (stats?.isFile() !== true) continue;
      const isFinished =
        bearsFinishingMark(stats.mode) || wall() - Number(stats.mtimeMs) > UNFINISHED_MS;
      if (!isFinished) continue;
      seen += 1;
      if (refusalOf(folder, constants.R_OK, rawName) === 'EACCES') {
        const says = `${folder.path}/${clean(rawName)} (${ownerOf(stats)}) can't be read by ${me(identity)}`;
        return failed(check, says, groupCure(folder.path, stats, identity));
      }
    }
  }
  if (seen > 0) return ok(check, 'the messages that wait can be read');
  return notTried(
    check,
    `no message waits; kopano-spamd gives each to its sa_group (amavis unless set), and ${me(identity)} has ${identity.groups.map(groupName).join(', ')}`,
  );
}

function groupCure(place: string, stats: BigIntStats, identity: Identity): string {
  if (isOutsiders(stats)) return outsidersCure(place);
  if ((stats.mode & 0o040n) === 0n) {
    return 'it has no read permission for its group: look at sa_group in kopano-spamd’s configuration, and whether that group exists';
  }
  if (identity.groups.includes(Number(stats.gid)) || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${userName(stats.uid)}`;
  }
  const [user, group] = [plainName('user', identity.uid), plainName('group', stats.gid)];
  return `give the daemon's user that group (usermod -aG ${group} ${user}, SupplementaryGroups=${group} for systemd, chpst -u ${user}:${group} for runit, group_add: ["${stats.gid}"] for a container), or set sa_group in kopano-spamd's configuration to a group that it has`;
}

/** Root may do everything: it sees nothing of what the daemon's user may not. */
function isBlind(identity: Identity): boolean {
  return identity.uid !== 0 && process.geteuid?.() === 0;
}

function me(identity: Identity): string {
  return userName(identity.uid);
}

function ownerOf(stats: BigIntStats): string {
  return `${userName(stats.uid)}, ${groupName(stats.gid)}, mode ${octal(stats.mode)}`;
}

function may(folder: Folder, mode: number): boolean {
  return refusalOf(folder, mode) === undefined;
}

/** Why access is refused; `undefined` when it isn't. */
function refusalOf(folder: Folder, mode: number, rawName = '.'): string | undefined {
  try {
    accessSync(folder.at(rawName), mode);
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? 'unknown';
  }
}
