import { constants, existsSync, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import type { ProcessUser } from '../command-options.ts';
import { errnoOf } from '../errors.ts';
import type { OperatorError } from '../errors.ts';
import { accountLine, plainName, readText, restartCommand } from '../host.ts';
import type { Host } from '../host.ts';
import { closedFolder } from '../spool/drop-directory.ts';
import { Folder, statsAt } from '../spool/folder.ts';
import { bearsFinishingMark } from '../spool/message.ts';
import { octal } from '../spool/state-dir.ts';
import { isOutsiders, isUnmapped, outsidersCure } from '../spool/user-namespace.ts';
import { clean, inShell } from '../text.ts';
import type { Verdict } from '../verdict.ts';
import { failed, joined, notTried, ok, warning } from './finding.ts';
import type { Case, Cure, Finding } from './finding.ts';
import { accessFault, named } from './machine.ts';

/**
 * The drop directory: kopano-spamd's folders and the files in them, as the daemon's user finds them.
 * Nothing is ever made, renamed or removed there.
 */

/** Files of each folder that are looked at. */
const SAMPLE = 200;
/** A file that is younger may still get its group. */
const UNFINISHED_MS = 10_000;
const { R_OK, W_OK, X_OK } = constants;

/**
 * Who runs the doctor. What a stranger to the spool may not do there is no fault of the spool, and
 * cures for it would take the spool from the daemon.
 * @param refusal why the daemon would not run, where root started both
 * @returns false where only another user can tell how the spool is
 */
export function* checkUser(
  { config, identity }: Case,
  refusal: OperatorError | undefined,
): Generator<Finding, boolean> {
  const { libDir, stateDir } = config.spool;
  const check = 'user';
  const me = named('uid', identity.uid);
  const [state, ham] = [statsAt(stateDir), statsAt(`${libDir}/ham`)];
  if (refusal !== undefined) {
    // That ham/ or the whole spool is missing is told of the spool, with its cure.
    const isMissing = ham === undefined && state === undefined;
    const says = refusal.message;
    yield isMissing ? notTried(check, says) : failed(check, says, refusal);
    return true;
  }
  const isOrdinary = identity.uid !== 0 && ham !== undefined && !isUnmapped('uid', ham.uid);
  if (!isOrdinary || state?.uid !== ham.uid || ham.uid === BigInt(identity.uid)) {
    yield ok(check, `runs as ${me}`);
    return true;
  }
  yield failed(
    check,
    `runs as ${me}, and the spool with its state dir is that of ${named('uid', ham.uid)}`,
    'say it as root, whose commands run as that user by themselves',
  );
  yield notTried('spool', 'what that other user may do there can be told to that one alone');
  return false;
}

/**
 * @param opened takes the class folders that can be opened; the caller closes them
 * @returns false where nothing in it can be looked at
 */
export function* checkSpool(given: Case, opened: Folder[]): Generator<Finding, boolean> {
  const { libDir, verdicts } = given.config.spool;
  const root = checkRoot(given);
  yield root;
  if (root.state !== 'ok') return false;
  for (const verdict of verdicts) yield checkClass(verdict, given, opened);
  yield checkWriteAccess([{ path: libDir, stats: statSync(libDir, { bigint: true }) }, ...opened]);
  yield checkFiles(given, opened);
  return true;
}

function checkRoot(given: Case): Finding {
  const { identity } = given;
  const { libDir } = given.config.spool;
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
      const command = makeSpool(given);
      const make = command === undefined ? '' : ', or make it';
      return failed(check, `${libDir} is missing`, {
        hint: `start kopano-spamd, which makes it, or set KOPANO_SPAMD_LIB to its folder${make}`,
        command,
      });
    }
    if (shut === undefined) {
      return failed(check, `${libDir} cannot be reached (${code})`, 'look at the file system');
    }
  }
  const stats = statSync(shut, { bigint: true });
  const whose = identity.groups.includes(Number(stats.gid)) ? 'g' : 'o';
  const cure = { hint: "let the daemon's user pass", command: `chmod ${whose}+x ${inShell(shut)}` };
  return failed(
    check,
    `${shut} may not be entered by ${named('uid', identity.uid)} (${ownershipOf(stats)})`,
    isOutsiders(stats) ? outsidersCure(shut) : cure,
  );
}

/** The spool as kopano-spamd makes it, with the folder that it leaves to others. */
function makeSpool({ config, identity }: Case): string | undefined {
  const { libDir, verdicts } = config.spool;
  const owner = accountLine('uid', 0, 'kopano')?.[0] ?? identity.uid;
  const group = accountLine('gid', 0, 'kopano')?.[0] ?? identity.gid;
  if (owner === 0 || group === 0) return undefined;
  const folders = [libDir, ...verdicts.map((each) => `${libDir}/${each}`)];
  return `install -d -o ${owner} -g ${group} -m 0755 ${folders.map(inShell).join(' ')}`;
}

/** The outermost folder on the way to the spool, itself included, that may not be entered. */
function shutFolder(libDir: string): string | undefined {
  const names = libDir.split('/');
  const folders = names.map((_, depth) => names.slice(0, depth + 1).join('/'));
  return folders.slice(1).find((folder) => accessFault(folder, X_OK) === 'EACCES');
}

function checkClass(verdict: Verdict, given: Case, opened: Folder[]): Finding {
  const { libDir } = given.config.spool;
  const place = `${libDir}/${verdict}`;
  try {
    const folder = Folder.open(place);
    opened.push(folder);
    return judgeClass(folder, verdict, given);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    const stats = code === 'EACCES' ? statsAt(place) : undefined;
    if (stats !== undefined) return unlisted({ path: place, stats }, verdict, given);
    const closed = closedFolder(libDir, verdict, code);
    return failed(`${verdict}/`, closed.says, closed);
  }
}

/** A class folder that this user may not list. */
function unlisted(folder: FolderStats, verdict: Verdict, given: Case): Finding {
  const who = `${named('uid', given.identity.uid)} (${ownershipOf(folder.stats)})`;
  const says = `${folder.path} may not be listed by ${who}`;
  return failed(`${verdict}/`, says, folderCure(folder, verdict, given));
}

function judgeClass(folder: Folder, verdict: Verdict, given: Case): Finding {
  const check = `${verdict}/`;
  const { uid } = given.identity;
  const { path: place, stats } = folder;
  if (accessFault(folder.at('.'), R_OK | X_OK) !== undefined) {
    return unlisted(folder, verdict, given);
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
    const says = `no message can be moved out of ${place} by ${named('uid', uid)}, who may not write to it (${ownershipOf(stats)})`;
    return failed(check, says, folderCure(folder, verdict, given));
  }
  const isSticky = (stats.mode & 0o1000n) !== 0n;
  if (isSticky && uid !== 0 && stats.uid !== BigInt(uid)) {
    const says = `${place} has the sticky bit: only a file's owner may move it`;
    return failed(check, says, { hint: 'take it away', command: `chmod -t ${inShell(place)}` });
  }
  return ok(check, `${place} can be read and emptied (${ownershipOf(stats)})`);
}

type FolderStats = Pick<Folder, 'path' | 'stats'>;

/** Never the group root for a mail service, and nothing given to root. */
function folderCure(
  { path: place, stats }: FolderStats,
  verdict: Verdict,
  { config, identity, host }: Case,
): Cure {
  const { uid, gid, groups } = identity;
  if (isOutsiders(stats)) return outsidersCure(place);
  if (stats.uid === BigInt(uid)) {
    return { hint: 'let its owner use it', command: `chmod 0755 ${inShell(place)}` };
  }
  const other = `${config.spool.libDir}/${verdict === 'ham' ? 'spam' : 'ham'}`;
  const isLikeOther = uid !== 0 && statsAt(other)?.uid === BigInt(uid);
  // Who owns ham/ is kopano-spamd, which makes it; the others it, or somebody else, only writes to.
  if (stats.uid === 0n || (isLikeOther && verdict !== 'ham')) {
    const own = `${uid}${gid === 0 ? '' : `:${gid}`}`;
    const [whose, hint] = isLikeOther
      ? [`--reference=${inShell(other)}`, `let it belong to whom ${other} belongs to`]
      : [own, "let it be the daemon's user's"];
    return { hint, command: `chown ${whose} ${inShell(place)} && chmod 0755 ${inShell(place)}` };
  }
  if (stats.gid === 0n || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${named('uid', stats.uid)}, who owns it`;
  }
  if (host.kind === 'container' && !groups.includes(Number(stats.gid))) {
    return {
      hint: `let its group write, and ${addGroup(stats.gid)}; or start it as ${named('uid', stats.uid)}`,
      command: `chmod g+rwx ${inShell(place)}`,
    };
  }
  return {
    hint: `let its group write, and the daemon's user be in that group; or run the daemon as ${named('uid', stats.uid)}`,
    command: joined(`chmod g+rwx ${inShell(place)}`, joining(stats.gid, identity, host)),
  };
}

/** What puts the daemon's user into a group, and lets the daemon have it. */
function joining(
  gid: bigint,
  { uid, gid: first, groups }: ProcessUser,
  host: Host,
): string | undefined {
  if (groups.includes(Number(gid))) return undefined;
  const [user, known] = [plainName('uid', uid), plainName('gid', gid)];
  const isNamed = known !== String(gid);
  const group = isNamed ? known : `learnd-${gid}`;
  // There the file says all groups, and those of /etc/group don't count.
  const file = host.kind === 'runit' ? `${host.service}/user` : '';
  const all = new Set([first, ...groups, Number(gid)]);
  const isSaid = existsSync(file) && readText(file).trim() !== '';
  // A user without a line in /etc/passwd (a directory's, or a bare number) is none that usermod knows.
  const isKnown = user !== String(uid);
  if (!isKnown && !isSaid) return undefined;
  return joined(
    isNamed ? undefined : `groupadd --gid ${gid} ${group}`,
    isKnown ? `usermod -aG ${group} ${user}` : undefined,
    isSaid ? `echo :${[uid, ...all].join(':')} >${inShell(file)}` : undefined,
    restartCommand(host),
  );
}

/** A container has the groups that it was started with. */
function addGroup(gid: bigint): string {
  return `give the container that group: --group-add ${gid} (docker, podman), group_add: ["${gid}"] (compose), supplementalGroups: [${gid}] (Kubernetes)`;
}

function checkWriteAccess(folders: readonly FolderStats[]): Finding {
  const check = 'write access';
  const open = folders.filter(({ stats }) => (stats.mode & 0o002n) !== 0n).map(({ path }) => path);
  if (open.length === 0) return ok(check, 'nobody else may write to the spool');
  return warning(
    check,
    `everybody on this machine may write to ${open.join(' and ')}, and so decide what is learned`,
    { hint: 'take that right away', command: `chmod o-w ${open.map(inShell).join(' ')}` },
  );
}

/** kopano-spamd gives its files to a group: a daemon without that reads none of them. */
function checkFiles(given: Case, folders: readonly Folder[]): Finding {
  const check = 'group';
  const { uid, groups } = given.identity;
  const me = named('uid', uid);
  let seen = 0;
  for (const { folder, rawName, stats } of sample(folders)) {
    const ageMs = Date.now() - Number(stats.mtimeMs);
    if (!bearsFinishingMark(stats.mode) && ageMs <= UNFINISHED_MS) continue;
    seen += 1;
    if (accessFault(folder.at(rawName), R_OK) === 'EACCES') {
      const says = `${folder.path}/${clean(rawName)} (${ownershipOf(stats)}) can't be read by ${me}`;
      return failed(check, says, groupCure(folder.path, stats, given));
    }
  }
  if (seen > 0) return ok(check, 'the messages that wait can be read');
  const names = groups.map((gid) => named('gid', gid)).join(', ');
  const says = `no message waits; kopano-spamd gives each to its sa_group (amavis unless set), and ${me} has ${names}`;
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

function groupCure(place: string, stats: BigIntStats, { identity, host }: Case): Cure {
  if (isOutsiders(stats)) return outsidersCure(place);
  if ((stats.mode & 0o040n) === 0n) {
    return "it has no read permission for its group: look at sa_group in kopano-spamd's configuration, and whether that group exists";
  }
  if (stats.gid === 0n) {
    return "set sa_group in kopano-spamd's configuration to a group of the daemon's user, not to root's";
  }
  if (identity.groups.includes(Number(stats.gid)) || isUnmapped('gid', stats.gid)) {
    return `run the daemon as ${named('uid', stats.uid)}`;
  }
  if (host.kind === 'container') return addGroup(stats.gid);
  return {
    hint: `give the daemon's user the group ${plainName('gid', stats.gid)}, which is kopano-spamd's sa_group, and start the daemon again`,
    command: joining(stats.gid, identity, host),
  };
}

function ownershipOf({ uid, gid, mode }: BigIntStats): string {
  return `${named('uid', uid)}, ${named('gid', gid)}, mode ${octal(mode)}`;
}
