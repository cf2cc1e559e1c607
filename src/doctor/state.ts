import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { OperatorError, errnoOf } from '../errors.ts';
import { Folder, isFolder } from '../spool/folder.ts';
import { LOCK_FILE, lockDescriptor, probeOwnership } from '../spool/owner.ts';
import { crossesDevices, howToMake, isLoose, octal, openStateRoot } from '../spool/state-dir.ts';
import type { DaemonAnswer } from '../status/client.ts';
import { VERDICTS } from '../verdict.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { userName } from './machine.ts';
import type { Account } from './machine.ts';

/** The state dir: the daemon's own, writable, on the spool's file system, and with one owner. */
export interface StateCheckOptions {
  readonly stateDir: string;
  readonly libDir: string;
  /** Whom the daemon runs as. */
  readonly account: Account;
  /** Tells the probe files of two doctors apart. */
  readonly probeName: string;
  readonly daemon: DaemonAnswer;
}

/** The opened state dir; `unmade` where there is none yet, `foreign` where it isn't ours. */
type Root = Folder | 'unmade' | 'foreign';

export async function checkState(options: StateCheckOptions): Promise<Finding[]> {
  const { stateDir, libDir, account, probeName } = options;
  const asOpened = { path: stateDir, libDir, uid: account.uid, gid: account.gid };
  let root: Folder;
  try {
    root = openStateRoot(asOpened);
  } catch (error) {
    if (error instanceof OperatorError) {
      // Somebody else's may be that of a running daemon.
      return [failed('state dir', error.message, error.hint), await checkOwner('foreign', options)];
    }
    const code = errnoOf(error);
    if (code === 'ENOENT') return [checkUnmade(options), await checkOwner('unmade', options)];
    const says = `${stateDir} cannot be opened (${code ?? 'unknown error'})`;
    return [failed('state dir', says, 'look at the file system')];
  }
  try {
    return [
      ...(isLoose(root.stats, asOpened) ? [loose(root)] : []),
      checkProbe(root, probeName),
      checkDevice(root, libDir),
      await checkOwner(root, options),
    ];
  } finally {
    root.close();
  }
}

/** Nothing is changed here. */
function loose({ path: place, stats }: Folder): Finding {
  return warning(
    'state dir',
    `${place} can be written by others (mode ${octal(stats.mode)}), as Kubernetes' fsGroup makes it; the daemon takes that away at its start, and while it runs`,
    `start the daemon, or: chmod 0700 ${place}; fsGroupChangePolicy: OnRootMismatch keeps Kubernetes from making it so again and again`,
  );
}

/** Only `watch` makes it; this says whether it could. */
function checkUnmade({ stateDir, account: { uid, gid } }: StateCheckOptions): Finding {
  const check = 'state dir';
  let parent = path.dirname(stateDir);
  while (!isFolder(parent) && parent !== '/') parent = path.dirname(parent);
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
    return ok(check, `${stateDir} is not there yet; the daemon can make it`);
  } catch (error) {
    if (errnoOf(error) === 'EROFS') {
      const cure = 'set LEARN_STATE_DIR to a folder on a writable volume that lasts';
      return failed(check, `${parent} is read-only`, cure);
    }
    const says = `${stateDir} is missing, and ${userName(uid)} may not make it in ${parent}`;
    return failed(check, says, howToMake(stateDir, uid, gid));
  }
}

/** As much as most messages have. */
const PROBE_BYTES = 65_536;

const PROBE_CURES: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on its file system (space or inodes)',
  EDQUOT: 'raise the disk quota, or make room',
  EROFS: 'mount it writable, or set LEARN_STATE_DIR to a writable volume that lasts',
};

/** A file is really written, renamed and removed: permissions, quotas and full disks show by that. */
function checkProbe(root: Folder, probeName: string): Finding {
  const check = 'state dir';
  const place = isFolder(String(root.at('tmp'))) ? 'tmp/' : '';
  const [first, second] = [`${place}.${probeName}-1`, `.${probeName}-2`];
  try {
    writeProbe(root.at(first));
    renameSync(root.at(first), root.at(second));
    unlinkSync(root.at(second));
    return ok(check, `in ${root.path} a file can be written, renamed and removed`);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    for (const name of [first, second]) removeQuietly(root, name);
    const { uid, gid } = root.stats;
    return failed(
      check,
      `in ${root.path} no file can be written, renamed and removed (${code})`,
      PROBE_CURES[code] ?? `chown -R ${uid}:${gid} ${root.path} && chmod -R u+rwX ${root.path}`,
    );
  }
}

function writeProbe(place: string | Buffer): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = openSync(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeFileSync(file, Buffer.alloc(PROBE_BYTES, 'x'));
    // A file system may put off looking for room.
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function removeQuietly(root: Folder, name: string): void {
  try {
    unlinkSync(root.at(name));
  } catch {
    // It may never have been made.
  }
}

function checkDevice(root: Folder, libDir: string): Finding {
  const check = 'file system';
  const elsewhere: string[] = [];
  let seen = 0;
  for (const folder of classFolders(libDir)) {
    try {
      if (crossesDevices(folder, root)) elsewhere.push(folder.path);
      seen += 1;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error; // the spool's own checks tell
    } finally {
      folder.close();
    }
  }
  if (seen === 0) return notTried(check, 'neither spam/ nor ham/ can be opened');
  if (elsewhere.length === 0) return ok(check, 'a message moves into the state dir by one rename');
  return warning(
    check,
    `${root.path} is on another file system or mount than ${elsewhere.join(' and ')}: each message is copied, which is slower and needs room for two`,
    `set LEARN_STATE_DIR to a folder on the same mount, such as ${libDir}/.learnd (its default); in a container mount their common parent as one volume`,
  );
}

/**
 * Who owns the spool: the running daemon says so; else the lock in the state dir tells, and those on
 * kopano-spamd's folders, which a daemon with another state dir has too.
 */
async function checkOwner(root: Root, options: StateCheckOptions): Promise<Finding> {
  const { stateDir, libDir, daemon } = options;
  const check = 'owner';
  const report = daemon.kind === 'running' ? daemon.report : undefined;
  const isOurs = report !== undefined && isSamePlace(report.stateDir, stateDir);
  if (isOurs && report.role === 'owner') return ok(check, 'the running daemon owns the spool');
  if (report?.role === 'owner' && isSamePlace(report.spool, libDir)) {
    return warning(
      check,
      `the running daemon owns the spool, and its state dir is ${report.stateDir}`,
      "run this with the daemon's environment: LEARN_STATE_DIR is another here",
    );
  }
  try {
    const lock = typeof root === 'string' ? undefined : await probeOwnership(root);
    const folder = await lockedFolder(libDir);
    if (lock === 'held') {
      return ownedByOther(daemon, `fuser -v ${folder ?? `${stateDir}/${LOCK_FILE}`}`);
    }
    if (folder !== undefined) {
      const who = root === 'foreign' ? 'of another user' : 'with another LEARN_STATE_DIR';
      return warning(
        check,
        `a daemon ${who} owns the spool: ${folder} is locked`,
        `stop it, or run this as it runs, with the same user and LEARN_STATE_DIR; who it is: fuser -v ${folder}`,
      );
    }
    if (lock === 'unsupported') {
      return failed(
        check,
        `the file system of ${stateDir} has no file locks`,
        'set LEARN_STATE_DIR to a folder on a local file system',
      );
    }
    if (lock === undefined) return notTried(check, noLockOf(root));
    const nobody = 'no daemon runs here; the next one can own the spool';
    return ok(check, isOurs ? 'no other daemon owns the spool' : nobody);
  } catch (error) {
    if (error instanceof OperatorError) return failed(check, error.message, error.hint);
    throw error;
  }
}

/** Why there is no lock to be tried. */
function noLockOf(root: Root): string {
  if (root === 'foreign') return 'mend the state dir first';
  const isMade =
    root !== 'unmade' && statSync(root.at(LOCK_FILE), { throwIfNoEntry: false }) !== undefined;
  return isMade ? 'its lock file may not be opened by this user' : 'no daemon was ever here';
}

function ownedByOther(daemon: DaemonAnswer, who: string): Finding {
  const check = 'owner';
  switch (daemon.kind) {
    case 'off':
      return ok(check, 'a daemon owns the spool; which one is not known, as STATUS_LISTEN is off');
    case 'wedged':
      return failed(
        check,
        `a daemon owns the spool, and does not answer: ${daemon.reason}`,
        `restart it, where it is that one (kill -CONT if somebody has stopped it); who it is: ${who}`,
      );
    case 'none':
    case 'running':
      return warning(
        check,
        daemon.kind === 'running' && daemon.report.role === 'standby'
          ? 'another daemon owns the spool; the one at STATUS_LISTEN stands by'
          : 'a daemon owns the spool, and is not the one that STATUS_LISTEN leads to',
        `stop one of them, or make STATUS_LISTEN that of the owner; who it is: ${who}`,
      );
  }
}

/** A class folder that some process has locked, as an owner does where the file system can. */
async function lockedFolder(libDir: string): Promise<string | undefined> {
  for (const folder of classFolders(libDir)) {
    const lock = await lockDescriptor(folder.fd).finally(() => {
      folder.close();
    });
    if (lock === 'held') return folder.path;
  }
  return undefined;
}

/** The class folders that can be opened, each to be closed by who takes it. */
function* classFolders(libDir: string): Generator<Folder> {
  for (const verdict of VERDICTS) {
    let folder: Folder;
    try {
      folder = Folder.open(`${libDir}/${verdict}`);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      continue; // the spool's own checks tell
    }
    yield folder;
  }
}

/** Whether two paths lead to one folder. */
function isSamePlace(one: string, other: string): boolean {
  try {
    const [a, b] = [statSync(one), statSync(other)];
    return one === other || (a.dev === b.dev && a.ino === b.ino);
  } catch {
    return one === other;
  }
}
