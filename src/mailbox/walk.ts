import { closeSync, constants, lstatSync, openSync, opendirSync } from 'node:fs';
import type { Dir, Dirent } from 'node:fs';
import { entryFault } from './fault.ts';
import { addressOf, encodePlace } from './place.ts';
import { REASON } from './source.ts';
import type { NotMessage } from './source.ts';

/**
 * Walks a folder and those in it, depth first, as the entries come; it holds two descriptors a level
 * and nothing else. Everything is reached through the descriptor of its folder (`/proc/self/fd`), so
 * symlinks are never followed, and neither the length of a path nor a folder that is swapped
 * meanwhile leads astray. Files are told by their names alone; nobody opens them here.
 *
 * A folder with `cur` and `new` is a Maildir: its `tmp` is left alone, and so are the files beside
 * them, which are the server's own. The folders beside them are walked on.
 */
export type Walked = WalkedFile | NotMessage;

export interface WalkedFile {
  readonly kind: 'file';
  /** What Node's calls take; good until the walk goes on. */
  readonly address: string | Buffer;
  readonly place: string;
  /** Its raw path below the folder of the walk. */
  readonly below: string;
}

/** A folder to walk: open, or to be opened without following a symlink. */
export interface WalkRoot {
  /** Raw path. */
  readonly path: string;
  /** The walk closes it. */
  readonly fd?: number;
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
// Node's type wants a BufferEncoding, of which latin1 is one; names come as one character a byte.
const LATIN1: BufferEncoding = 'latin1';
const ENTRIES_AT_ONCE = 1_024;
const DEEPEST = 100;

interface Level {
  readonly fd: number;
  readonly directory: Dir;
  /** What addresses, places and paths of its entries begin with. */
  readonly address: string;
  readonly place: string;
  readonly below: string;
  readonly isMaildir: boolean;
}

export function* walk(root: WalkRoot): Generator<Walked, void, undefined> {
  const levels: Level[] = [];
  try {
    const first = enter(addressOf(root.path), `${encodePlace(root.path)}/`, '', root.fd);
    if ('kind' in first) yield first;
    else levels.push(first);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = readEntry(level);
      if (entry === undefined || 'kind' in entry) {
        leave(level);
        levels.pop();
        if (entry !== undefined) yield entry;
        continue;
      }
      const walked = look(level, entry);
      if (walked === undefined) continue;
      if (!('directory' in walked)) yield walked;
      else if (levels.length < DEEPEST) levels.push(walked);
      else {
        leave(walked);
        const place = walked.place.slice(0, -1);
        yield { kind: 'failed', place, reason: `more than ${DEEPEST} folders deep` };
      }
    }
  } finally {
    for (const level of levels) leave(level);
  }
}

/** What an entry is to the reader; `undefined` for what is passed over silently. */
function look(level: Level, entry: Dirent): Walked | Level | undefined {
  const { name } = entry;
  const address = addressOf(level.address + name);
  const kind = kindOf(entry, address);
  if (kind === 'folder') {
    if (level.isMaildir && name === 'tmp') return undefined;
    return enter(address, `${level.place}${encodePlace(name)}/`, `${level.below}${name}/`);
  }
  if (level.isMaildir) return undefined;
  const place = level.place + encodePlace(name);
  if (kind === 'gone') return { kind: 'failed', place, reason: REASON.vanished };
  const reason = whyNotWanted(name) ?? NOT_READ[kind];
  if (reason !== undefined) return { kind: 'skipped', place, reason };
  return { kind: 'file', address, place, below: level.below + name };
}

const NOT_READ = { file: undefined, symlink: REASON.symlink, other: REASON.notRegular } as const;

function whyNotWanted(name: string): string | undefined {
  if (name.startsWith('.')) return REASON.hidden;
  return isTrashed(name) ? REASON.trashed : undefined;
}

// A colon, or what replaces it where file systems don't take one.
const TRASHED = /[:!;]2,[A-Za-z]*T[A-Za-z]*$/;

/** The Maildir flag T: its user has marked it for deletion. */
export function isTrashed(rawName: string): boolean {
  return TRASHED.test(rawName);
}

type EntryKind = 'file' | 'folder' | 'symlink' | 'other' | 'gone';

function kindOf(entry: Dirent, address: string | Buffer): EntryKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  if (entry.isSymbolicLink()) return 'symlink';
  const isKnown =
    entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice();
  if (isKnown) return 'other';
  // Some file systems don't say what an entry is.
  const stats = lstatSync(address, { throwIfNoEntry: false });
  if (stats === undefined) return 'gone';
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

function enter(
  address: string | Buffer,
  place: string,
  below: string,
  open?: number,
): Level | NotMessage {
  let fd = open;
  try {
    fd ??= openSync(address, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    const inside = `/proc/self/fd/${fd}/`;
    const directory = opendirSync(`${inside}.`, { encoding: LATIN1, bufferSize: ENTRIES_AT_ONCE });
    const isMaildir = isFolder(`${inside}cur`) && isFolder(`${inside}new`);
    return { fd, directory, address: inside, place, below, isMaildir };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    return entryFault(error, place.slice(0, -1));
  }
}

function isFolder(address: string): boolean {
  return lstatSync(address, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function leave({ fd, directory }: Level): void {
  directory.closeSync();
  closeSync(fd);
}

function readEntry({ directory, place }: Level): Dirent | NotMessage | undefined {
  try {
    return directory.readSync() ?? undefined;
  } catch (error) {
    return entryFault(error, place.slice(0, -1));
  }
}
