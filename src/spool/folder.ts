import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { EXIT, LocalFault, OperatorError, errnoOf, ifAllowed } from '../errors.ts';
import type { Verdict } from '../verdict.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** How a file is opened that may have been swapped: no link is followed, no FIFO waited for. */
export const READ_SAFELY = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

/**
 * A folder held open. Everything in it is reached through its descriptor (`/proc/self/fd`), so that
 * a path that is swapped for another folder or a symlink afterwards leads nowhere else.
 *
 * Calls are synchronous: a metadata call on a local file system takes microseconds, a fraction of
 * what the thread pool's hand-over costs, and a sequence of them can't be interleaved.
 */
export class Folder implements Disposable {
  /** Where the folder was found: for people, never for file access. */
  readonly path: string;
  readonly fd: number;
  readonly stats: BigIntStats;
  readonly #prefix: string;
  #open = true;

  private constructor(path: string, fd: number, stats: BigIntStats) {
    this.path = path;
    this.fd = fd;
    this.stats = stats;
    this.#prefix = `/proc/self/fd/${fd}/`;
  }

  /**
   * Opens the folder at `path`; its last component must not be a symlink.
   * @throws the system's error (`ENOENT`, `ENOTDIR`, `EACCES`)
   */
  static open(path: string): Folder {
    return Folder.#openAt(path, path);
  }

  /** Opens a folder inside this one, under the same rules. */
  openFolder(name: string): Folder {
    return Folder.#openAt(this.at(name), `${this.path}/${name}`);
  }

  static #openAt(address: string | Buffer, path: string): Folder {
    const fd = openSync(address, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      return new Folder(path, fd, fstatSync(fd, { bigint: true }));
    } catch (error) {
      closeUnwritten(fd);
      throw error;
    }
  }

  /** The address of an entry for Node's own calls; names that aren't ASCII need their bytes. */
  at(rawName: string): string | Buffer {
    // The descriptor's number may belong to another folder by now.
    if (!this.#open) throw new LocalFault(`${this.path} was closed`);
    const address = this.#prefix + rawName;
    // eslint-disable-next-line no-control-regex -- the ASCII range
    return /^[\u0000-\u007f]*$/.test(rawName) ? address : Buffer.from(address, 'latin1');
  }

  /** The entry's own stats, symlinks not followed; `undefined` when there is none. */
  lstat(rawName: string): BigIntStats | undefined {
    return lstatSync(this.at(rawName), { bigint: true, throwIfNoEntry: false });
  }

  /** Lists the entries as they come, in batches; what is added or removed meanwhile may show. */
  *list(): Generator<FolderEntry, void, undefined> {
    const directory = opendirSync(this.at('.'), { encoding: LATIN1, bufferSize: 1024 });
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        yield { rawName: entry.name, regular: entry.isFile() };
      }
    } finally {
      directory.closeSync();
    }
  }

  /** Removes an entry that is no folder; false when there is none. */
  removeFile(rawName: string): boolean {
    const stats = this.lstat(rawName);
    if (stats === undefined || stats.isDirectory()) return false;
    try {
      unlinkSync(this.at(rawName));
      return true;
    } catch (error) {
      // Another process was quicker: an operator's command, or the daemon.
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /**
   * Removes an entry with all that is in it. A folder in it that is swapped for a symlink meanwhile
   * is not entered, as Node's own recursive removal does: that unlinks what lies outside.
   * @throws the system's error, `ENOENT` when there is no such entry
   */
  removeTree(rawName: string): void {
    if (this.lstat(rawName)?.isDirectory() !== true) {
      unlinkSync(this.at(rawName));
      return;
    }
    using inner = this.openFolder(rawName);
    for (const entry of [...inner.list()]) inner.removeTree(entry.rawName);
    rmdirSync(this.at(rawName));
  }

  get isClosed(): boolean {
    return !this.#open;
  }

  /** True while the path still leads to this very folder, as far as can be told. */
  isCurrent(): boolean {
    try {
      const now = lstatSync(this.path, { bigint: true, throwIfNoEntry: false });
      if (now?.dev !== this.stats.dev || now.ino !== this.stats.ino) return false;
      // A server of NFS may give the inode number of a folder that was removed to the next one.
      fstatSync(this.fd);
      return true;
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      // An input/output error or a forbidden parent is no reason to let go of what we hold open.
      return !['ENOTDIR', 'ELOOP', 'ESTALE'].includes(code);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeUnwritten(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export interface FolderEntry {
  readonly rawName: string;
  /** As it was listed: by now it may be something else. */
  readonly regular: boolean;
}

// Node's type wants a BufferEncoding, of which latin1 is one; names come as one character a byte.
const LATIN1: BufferEncoding = 'latin1';

export interface ListedEntry extends FolderEntry {
  readonly verdict: Verdict;
}

/**
 * Lists folders by turns, an entry of each, so that neither class waits for the other. Keeps them open
 * until it is finished or returned.
 * @param onFault hears of an error, which ends the list of its folder
 */
export function* listByTurns(
  folders: readonly { readonly verdict: Verdict; readonly folder: Folder }[],
  onFault: (verdict: Verdict, error: unknown) => void,
): Generator<ListedEntry, void, undefined> {
  const lists = new Map(folders.map(({ verdict, folder }) => [verdict, folder.list()]));
  try {
    while (lists.size > 0) {
      for (const [verdict, list] of lists) {
        let next: FolderEntry | undefined;
        try {
          const step = list.next();
          if (step.done !== true) next = step.value;
        } catch (error) {
          onFault(verdict, error);
        }
        if (next === undefined) lists.delete(verdict);
        else yield { verdict, rawName: next.rawName, regular: next.regular };
      }
    }
  } finally {
    for (const list of lists.values()) list.return();
  }
}

/**
 * Closes a descriptor through which nothing was written, so that an error has nothing to tell: on
 * Linux it is gone whatever close(2) says.
 */
export function closeUnwritten(fd: number): void {
  ifAllowed(() => closeSync(fd));
}

/**
 * What is wrong where there is no `/proc`, or one of other processes, by which no folder can be worked
 * through; `undefined` where all is well.
 */
export function procFault(): OperatorError | undefined {
  if (isFolder('/proc/self/fd')) return undefined;
  return new OperatorError({
    code: 'system.no-proc',
    message: '/proc is not mounted, and files are reached through it',
    hint: 'mount it (in a chroot before that is entered; under systemd with RootDirectory=: MountAPIVFS=yes); a container has it unless something else is mounted there',
    command: 'mount -t proc proc /proc',
    exitCode: EXIT.configuration,
  });
}

/** What `path` leads to, symlinks followed; `undefined` for nothing, or where that can't be seen. */
export function statsAt(path: string): BigIntStats | undefined {
  return ifAllowed(() => statSync(path, { bigint: true }));
}

/** The names in a folder; none where it can't be listed. */
export function namesIn(folder: string): readonly string[] {
  return ifAllowed(() => readdirSync(folder)) ?? [];
}

/** True when `path` leads to a folder, symlinks followed. */
export function isFolder(path: string): boolean {
  return statsAt(path)?.isDirectory() === true;
}
