import {
  chmodSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
} from 'node:fs';
import type { BigIntStats } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf, ifAllowed } from '../errors.ts';
import { FILTERS } from '../filter.ts';
import { plainName } from '../host.ts';
import { inShell } from '../text.ts';
import { VERDICTS, isClassName, perClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import { Folder, statsAt } from './folder.ts';
import { isOutsiders, isUnmapped, outsidersCure } from './user-namespace.ts';

/**
 * The state dir and its folders. It is the daemon's own, mode 0700, and made by `watch` alone; a
 * foreign one is refused, because whoever can write it decides what is learned. Where others may write
 * to one of our own, as Kubernetes makes every volume with an `fsGroup` at each start of a pod, that
 * right is taken away.
 */
export interface StateDir {
  readonly root: Folder;
  readonly queue: PerClass<Folder>;
  readonly archive: PerClass<Folder>;
  readonly quarantine: PerClass<Folder>;
  /** What other commands ask the owner to take back into the queue. */
  readonly release: PerClass<Folder>;
  /** Queue, quarantine and release of classes that aren't set any more, and may be again. */
  readonly former: readonly Folder[];
  /** How often messages of the queue were posted without a proof. */
  readonly posts: PerClass<Folder>;
  /** Where copies are made before they get their name by a rename. */
  readonly temporary: Folder;
  /** Opens what was last taught under each key, and makes it where it is missing. */
  openTaught(): Folder;
  /** Opens the classes that were last added to a fuzzy storage, in the same way. */
  openListed(): Folder;
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
  /** All classes: each has a folder in each place. @defaultValue spam and ham */
  readonly verdicts?: readonly Verdict[];
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

const NAMES = ['queue', 'archive', 'quarantine', 'release', 'posts'] as const;
/** All that a state dir holds. */
const LAYOUT: ReadonlySet<string> = new Set([
  ...NAMES,
  ...['tmp', 'owner.lock', 'learned.json', 'status.sock'],
  ...['history.json', 'history.broken.json'],
  ...['taught', 'listed', ...FILTERS.map((filter) => `done-${filter}`)],
]);

/**
 * Opens the state dir, making what is missing.
 * @throws {SpoolMissingError} when the state dir belongs into a spool that is missing
 * @throws {OperatorError} `state-dir.*`, exit 78, when it can't be made or isn't the daemon's own
 * @throws the system's error for a disk fault such as ENOSPC
 */
export function openStateDir(options: StateDirOptions): StateDir {
  const { path: place, libDir } = options;
  if (place.startsWith(`${libDir}/`) && !isThere(libDir)) throw new SpoolMissingError(libDir);
  makeFolder(place, options);
  const root = openStateRoot(options);
  const opened = [root];
  const tighten = (): void => {
    const [loose] = opened.flatMap((folder) => takeRights(folder, options) ?? []);
    if (loose !== undefined) options.onTightened?.(octal(loose));
  };
  const inner = (parent: Folder, name: string): Folder => {
    makeFolder(`${parent.path}/${name}`, options, String(parent.at(name)));
    const folder = parent.openFolder(name);
    opened.push(folder);
    return folder;
  };
  const close = (): void => {
    for (const folder of opened.splice(0)) folder.close();
  };
  try {
    tighten(); // before anything is made in it
    const verdicts = options.verdicts ?? VERDICTS;
    const former: Folder[] = [];
    const each = (name: (typeof NAMES)[number], isWaiting = false): PerClass<Folder> => {
      const parent = inner(root, name);
      const gone = isWaiting ? classesIn(parent).filter((each) => !verdicts.includes(each)) : [];
      // One that can't be opened is somebody else's.
      former.push(...gone.flatMap((verdict) => ifAllowed(() => inner(parent, verdict)) ?? []));
      return perClass(verdicts, (verdict) => inner(parent, verdict));
    };
    const stateDir = {
      root,
      queue: each('queue', true),
      archive: each('archive'),
      quarantine: each('quarantine', true),
      release: each('release', true),
      former,
      posts: each('posts'),
      temporary: inner(root, 'tmp'),
      openTaught: () => inner(root, 'taught'),
      openListed: () => inner(root, 'listed'),
      isOurs: () => {
        try {
          tighten();
        } catch (error) {
          if (errnoOf(error) === undefined) throw error;
          return false;
        }
        return opened.every((folder) => folder.isCurrent() || former.includes(folder));
      },
      close,
    };
    tighten();
    return stateDir;
  } catch (error) {
    close();
    throw error;
  }
}

/** The classes that a place of the state dir has folders for, those that aren't set any more among them. */
export function classesIn(place: Folder): Verdict[] {
  return [...place.list()]
    .map(({ rawName }) => rawName)
    .filter((name) => isClassName(name) && place.lstat(name)?.isDirectory() === true);
}

/**
 * Opens a state dir that exists, without anything in it.
 * @throws {OperatorError} `state-dir.*` when it isn't the daemon's own; the system's error otherwise
 */
export function openStateRoot(options: StateDirOptions): Folder {
  const { path: place, uid } = options;
  let root: Folder;
  try {
    root = Folder.open(place);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ELOOP' || code === 'ENOTDIR') {
      const says = `the state dir ${place} is not a folder (a symlink is not followed)`;
      throw fault('not-a-folder', says, 'set LEARN_STATE_DIR to the folder itself');
    }
    if (code !== 'EACCES') throw error;
    const stats = statsAt(place);
    const whose = stats && foreignness(stats, uid);
    throw refusal(options, whose ?? 'cannot be opened (EACCES)', stats?.uid);
  }
  const says = foreignness(root.stats, uid);
  if (says === undefined || isLoose(root.stats, options)) return root;
  root.close();
  throw refusal(options, says, root.stats.uid);
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
    if (!['EPERM', 'EACCES', 'ENOTSUP'].includes(errnoOf(error) ?? '')) throw error;
  }
  // A file system may accept it and do nothing.
  if (!mayBeWrittenByOthers(fstatSync(fd, { bigint: true }))) return stats.mode;
  throw fault(
    'foreign',
    `the state dir's folder ${place} can be written by others than its owner (mode ${octal(stats.mode)}), which its file system keeps so`,
    'mount it so that modes can be changed, or set LEARN_STATE_DIR to a folder on another file system',
  );
}

function mayBeWrittenByOthers({ mode }: BigIntStats): boolean {
  return (mode & 0o022n) !== 0n;
}

/** What is foreign about it; `undefined` for the daemon's own. */
function foreignness(stats: BigIntStats, uid: number): string | undefined {
  if (stats.uid !== BigInt(uid)) {
    return isUnmapped('uid', stats.uid)
      ? `belongs to somebody who is not mapped into this container (shown as uid ${stats.uid})`
      : `belongs to uid ${stats.uid}, but kopano-learnd runs as uid ${uid}`;
  }
  return mayBeWrittenByOthers(stats)
    ? `can be written by others than its owner (mode ${octal(stats.mode)})`
    : undefined;
}

/** @param owner whose it is: as often as the folder it is the user that is wrong, except for root */
function refusal(
  { path: place, libDir, uid, gid }: StateDirOptions,
  says: string,
  owner = BigInt(uid),
): OperatorError {
  const refused = (hint: string, command?: string): OperatorError =>
    fault('foreign', `the state dir ${place} ${says}`, hint, command);
  if (isUnmapped('uid', owner)) {
    const outside = outsidersCure(place);
    return refused(`${outside}; or set LEARN_STATE_DIR to a folder of the container's user`);
  }
  if (!mayBeAStateDir(place, owner === BigInt(uid))) {
    const inside = path.join(place, 'learnd');
    return refused(
      `set LEARN_STATE_DIR to a folder of its own, such as ${inside}: there are other things in this one`,
    );
  }
  const isAnothers = owner !== BigInt(uid) && owner !== 0n;
  if (uid === 0 && isAnothers) {
    // Nothing is given to root.
    return refused(`run it as uid ${owner}, who owns it: without --user root`);
  }
  if (isAnothers && statsAt(`${libDir}/ham`)?.uid === owner) {
    // The spool is in order, and may be a running daemon's: it is the user that is wrong.
    const who = `uid ${owner} (${plainName('uid', owner)})`;
    return refused(`run it as ${who}, whose spool it is: root's commands do so by themselves`);
  }
  const other = isAnothers ? `run kopano-learnd as uid ${owner}, who owns it, or ` : '';
  return refused(
    `${other}set LEARN_STATE_DIR to another folder, or make this one the daemon's own:`,
    `chown -R ${uid}:${gid} ${inShell(place)} && chmod 0700 ${inShell(place)}`,
  );
}

function fault(code: string, message: string, hint: string, command?: string): OperatorError {
  return new OperatorError({
    code: `state-dir.${code}`,
    message,
    hint,
    command,
    exitCode: EXIT.configuration,
  });
}

/** Whether it holds nothing but a daemon's own: no cure gives away somebody else's files. */
function mayBeAStateDir(place: string, isOwn: boolean): boolean {
  const names = ifAllowed(() => readdirSync(place));
  // Where it can't be read: nobody else has one of that name.
  if (names === undefined) return isOwn || path.basename(place) === '.learnd';
  return names.every((name) => LAYOUT.has(name));
}

/** Makes one folder of the state dir with mode 0700, where it is missing. */
function makeFolder(place: string, options: StateDirOptions, address = place): void {
  const { uid, gid, libDir } = options;
  try {
    if (lstatSync(address, { throwIfNoEntry: false }) !== undefined) return;
    // A spool that vanishes at this moment must not be made: its folders are kopano-spamd's.
    const recursive = address === place && path.dirname(place) !== libDir;
    mkdirSync(address, { mode: 0o700, recursive });
    chmodSync(address, 0o700); // whatever the umask
  } catch (error) {
    const code = errnoOf(error) ?? '';
    if (code === 'EEXIST') return;
    if (!['EACCES', 'EPERM', 'ENOTDIR'].includes(code)) throw error;
    const { hint, command } = howToMake(options.path, uid, gid);
    throw fault(
      'unwritable',
      `the state dir's folder ${place} cannot be made (${code}) by uid ${uid}`,
      `${hint}, or set LEARN_STATE_DIR to a folder that it may write`,
      command,
    );
  }
}

/** What makes a state dir that the daemon may not make by itself. */
export function howToMake(place: string, uid: number, gid: number) {
  const parent = path.dirname(place);
  const above = statsAt(parent);
  if (above !== undefined && isOutsiders(above)) {
    return { hint: outsidersCure(parent), command: undefined };
  }
  const [user, group] = [plainName('uid', uid), plainName('gid', gid)];
  return {
    hint: 'make it',
    command: `install -d -o ${user} -g ${group} -m 0700 ${inShell(place)}`,
  };
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
