import {
  chmodSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import type { BigIntStats } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { Folder } from './folder.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { isOutsiders, isUnmapped, outsidersCure } from './user-namespace.ts';

/**
 * The state dir and its folders. It is the daemon's own, mode 0700, and made by `watch` alone; a
 * foreign one is refused, because whoever can write it decides what is learned. Where others may write
 * to one of our own, as Kubernetes makes every volume with an `fsGroup` at each start of a pod, that
 * right is taken away.
 */
export interface StateDir {
  readonly root: Folder;
  readonly queue: Readonly<Record<Verdict, Folder>>;
  readonly archive: Readonly<Record<Verdict, Folder>>;
  readonly quarantine: Readonly<Record<Verdict, Folder>>;
  /** What other commands ask the owner to take back into the queue. */
  readonly release: Readonly<Record<Verdict, Folder>>;
  /** How often messages of the queue were posted without a proof. */
  readonly posts: Readonly<Record<Verdict, Folder>>;
  /** Where copies are made before they get their name by a rename. */
  readonly temporary: Folder;
  /**
   * Takes away what rights others have got on it since it was opened.
   * @returns false when that can't be done, or not all of it is still where it was opened
   */
  isOurs(): boolean;
  close(): void;
}

export interface StateDirOptions {
  readonly path: string;
  /** KOPANO_SPAMD_LIB: never made, and the state dir isn't either while it is missing. */
  readonly libDir: string;
  /** The daemon's effective uid and gid. */
  readonly uid: number;
  readonly gid: number;
  /** Hears that others could write to it, with this mode, and can't any more. */
  readonly onTightened?: (mode: string) => void;
}

/** The spool isn't there (yet), so the state dir inside it can't be made. */
export class SpoolMissingError extends Error {
  override readonly name = 'SpoolMissingError';
}

/**
 * Opens the state dir, making what is missing.
 * @throws {SpoolMissingError} when the state dir belongs into a spool that is missing
 * @throws {OperatorError} `state-dir.*`, exit 78, when it can't be made or isn't the daemon's own
 * @throws the system's error for a local fault such as ENOSPC
 */
export function openStateDir(options: StateDirOptions): StateDir {
  const inside = options.path.startsWith(`${options.libDir}/`);
  if (inside && !isThere(options.libDir)) throw new SpoolMissingError(options.libDir);
  makeFolder(options.path, options);
  const opened: Folder[] = [];
  const keep = (folder: Folder): Folder => {
    opened.push(folder);
    return folder;
  };
  try {
    const root = keep(openStateRoot(options));
    const tighten = (): void => {
      const [loose] = opened.flatMap((folder) => takeRights(folder, options) ?? []);
      if (loose !== undefined) options.onTightened?.(octal(loose));
    };
    tighten(); // before anything is made in it
    const inner = (name: string): Folder => {
      makeFolder(`${options.path}/${name}`, options, String(root.at(name)));
      return keep(root.openFolder(name));
    };
    const both = (name: string): Record<Verdict, Folder> => {
      const parent = inner(name);
      for (const verdict of VERDICTS) {
        makeFolder(`${options.path}/${name}/${verdict}`, options, String(parent.at(verdict)));
      }
      return { spam: keep(parent.openFolder('spam')), ham: keep(parent.openFolder('ham')) };
    };
    const stateDir = {
      root,
      queue: both('queue'),
      archive: both('archive'),
      quarantine: both('quarantine'),
      release: both('release'),
      posts: both('posts'),
      temporary: inner('tmp'),
      isOurs: () => {
        try {
          tighten();
        } catch (error) {
          if (errnoOf(error) === undefined) throw error;
          return false;
        }
        return opened.every((folder) => folder.isCurrent());
      },
      close() {
        for (const folder of opened.splice(0)) folder.close();
      },
    };
    tighten();
    return stateDir;
  } catch (error) {
    for (const folder of opened) folder.close();
    throw error;
  }
}

/**
 * Opens a state dir that exists, without anything in it.
 * @throws {OperatorError} `state-dir.*` when it isn't the daemon's own; the system's error otherwise
 */
export function openStateRoot(options: StateDirOptions): Folder {
  let root: Folder;
  try {
    root = Folder.open(options.path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ELOOP' || code === 'ENOTDIR') {
      throw notAFolder(options.path);
    }
    if (code === 'EACCES') {
      const stats = visibleStats(options.path);
      const fault = stats && foreignness(stats, options.uid);
      throw refusal(options, 'foreign', fault ?? 'cannot be opened (EACCES)', stats?.uid);
    }
    throw error;
  }
  const fault = foreignness(root.stats, options.uid);
  if (fault === undefined || isLoose(root.stats, options)) return root;
  root.close();
  throw refusal(options, 'foreign', fault, root.stats.uid);
}

/** Whether it is the daemon's own although others may write to it, so that it can change that. */
export function isLoose(stats: BigIntStats, { path: place, uid }: StateDirOptions): boolean {
  // What is for everybody, such as /tmp, or has other things in it, must stay as it is.
  const isShared = (stats.mode & 0o1000n) !== 0n || !mayBeAStateDir(place, true);
  return stats.uid === BigInt(uid) && mayBeWrittenByOthers(stats) && !isShared;
}

/**
 * Takes away what rights others have on a folder of ours, by its descriptor.
 * @returns the mode before; `undefined` where nobody else could write to it
 * @throws {OperatorError} where the file system won't have it
 */
function takeRights({ fd, path: place }: Folder, options: StateDirOptions): bigint | undefined {
  const stats = fstatSync(fd, { bigint: true });
  if (stats.uid !== BigInt(options.uid) || !mayBeWrittenByOthers(stats)) return undefined;
  try {
    fchmodSync(fd, 0o700);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EPERM' && code !== 'EACCES' && code !== 'ENOTSUP') throw error;
  }
  // A file system may accept it and do nothing.
  if (!mayBeWrittenByOthers(fstatSync(fd, { bigint: true }))) return stats.mode;
  const fault = `can be written by others than its owner (mode ${octal(stats.mode)}), which its file system keeps so`;
  throw new OperatorError({
    code: 'state-dir.foreign',
    message: `the state dir's folder ${place} ${fault}`,
    hint: 'mount it so that modes can be changed, or set LEARN_STATE_DIR to a folder on another file system',
    exitCode: EXIT.configuration,
  });
}

function mayBeWrittenByOthers({ mode }: BigIntStats): boolean {
  return (mode & 0o022n) !== 0n;
}

function notAFolder(place: string): OperatorError {
  return new OperatorError({
    code: 'state-dir.not-a-folder',
    message: `the state dir ${place} is not a folder (a symlink is not followed)`,
    hint: `set LEARN_STATE_DIR to a folder itself: ${targetOf(place)}`,
    exitCode: EXIT.configuration,
  });
}

function targetOf(place: string): string {
  try {
    const target = realpathSync(place);
    return target === place ? `not to ${place}` : `LEARN_STATE_DIR=${target}`;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return `where ${place} leads there is none`;
  }
}

function visibleStats(place: string): BigIntStats | undefined {
  try {
    return lstatSync(place, { bigint: true });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined; // a folder above it may not be entered either
  }
}

/** @throws the system's error where that can't be told */
function isThere(libDir: string): boolean {
  try {
    return statSync(libDir, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}

function foreignness(stats: BigIntStats, uid: number): string | undefined {
  if (stats.uid !== BigInt(uid)) {
    if (isUnmapped('uid', stats.uid)) {
      return `belongs to somebody who is not mapped into this container (shown as uid ${stats.uid})`;
    }
    return `belongs to uid ${stats.uid}, but kopano-learnd runs as uid ${uid}`;
  }
  if (mayBeWrittenByOthers(stats)) {
    return `can be written by others than its owner (mode ${octal(stats.mode)})`;
  }
  return undefined;
}

/** @param owner whose it is: as often as the folder it is the user that is wrong, except for root */
function refusal(
  options: StateDirOptions,
  code: string,
  fault: string,
  owner = BigInt(options.uid),
): OperatorError {
  const { path: place, uid, gid } = options;
  const isAnothers = owner !== BigInt(uid) && owner !== 0n;
  const other = isAnothers ? `run kopano-learnd as uid ${owner}, who owns it, or ` : '';
  return new OperatorError({
    code: `state-dir.${code}`,
    message: `the state dir ${place} ${fault}`,
    hint: isUnmapped('uid', owner)
      ? `${outsidersCure(place)}; or set LEARN_STATE_DIR to a folder of the container's user`
      : mayBeAStateDir(place, owner === BigInt(uid))
        ? `${other}make it the daemon's own: chown -R ${uid}:${gid} ${place} && chmod 0700 ${place}; or set LEARN_STATE_DIR to another folder`
        : `set LEARN_STATE_DIR to a folder of its own, such as ${path.join(place, 'learnd')}: there are other things in this one`,
    exitCode: EXIT.configuration,
  });
}

const LAYOUT = new Set(['queue', 'archive', 'quarantine', 'release', 'posts', 'tmp', 'owner.lock']);

/** Whether it holds nothing but a daemon's own: no cure gives away somebody else's files. */
function mayBeAStateDir(place: string, isOwn: boolean): boolean {
  try {
    return readdirSync(place).every((name) => LAYOUT.has(name));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return isOwn || path.basename(place) === '.learnd'; // nobody else has one of that name
  }
}

/** Makes one folder of the state dir with mode 0700, where it is missing. */
function makeFolder(place: string, options: StateDirOptions, address = place): void {
  try {
    if (lstatSync(address, { throwIfNoEntry: false }) !== undefined) return;
    // A spool that vanishes at this moment must not be made: its folders are kopano-spamd's.
    const recursive = address === place && path.dirname(place) !== options.libDir;
    mkdirSync(address, { mode: 0o700, recursive });
    chmodSync(address, 0o700); // whatever the umask
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EEXIST') return;
    if (code === 'EACCES' || code === 'EPERM' || code === 'ENOTDIR') {
      const { uid, gid } = options;
      throw new OperatorError({
        code: 'state-dir.unwritable',
        message: `the state dir's folder ${place} cannot be made (${code}) by uid ${uid}`,
        hint: `${howToMake(options.path, uid, gid)}; or set LEARN_STATE_DIR to a folder that it may write`,
        exitCode: EXIT.configuration,
      });
    }
    throw error;
  }
}

/** What makes a state dir that the daemon may not make by itself. */
export function howToMake(place: string, uid: number, gid: number): string {
  const above = visibleStats(path.dirname(place));
  return above !== undefined && isOutsiders(above)
    ? outsidersCure(path.dirname(place))
    : `install -d -o ${uid} -g ${gid} -m 0700 ${place}`;
}

/**
 * True when a rename from `from` to `to` would be refused with EXDEV: other file systems, or two
 * bind mounts of one. The kernel compares the mounts before it looks for the file, so a name that
 * doesn't exist tells.
 * @throws the system's error where that can't be told
 */
export function crossesDevices(from: Folder, to: Folder): boolean {
  const nothing = '.kopano-learnd-probe';
  try {
    renameSync(from.at(nothing), to.at(nothing));
    return false;
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ENOENT' && code !== 'EXDEV') throw error;
    return code === 'EXDEV';
  }
}

export function octal(mode: bigint): string {
  return (mode & 0o7777n).toString(8).padStart(4, '0');
}
