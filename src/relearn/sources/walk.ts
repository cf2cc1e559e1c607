import { closeSync, constants, lstatSync, openSync, opendirSync } from 'node:fs';
import type { Dir, Dirent } from 'node:fs';
import { isArchiveDay } from '../../spool/retention.ts';
import type { Verdict } from '../../verdict.ts';
import type { FolderUse } from './folder-names.ts';
import { unwantedFile, unwantedFolder } from './folder-use.ts';
import { nodePathOf, encodePlace } from './place.ts';
import { entryFault, REASON } from './source.ts';
import type { NotMessage } from './source.ts';

/**
 * Walks a folder and those in it, depth first, as the entries come; it holds two descriptors a level
 * and nothing else. Everything is reached through the descriptor of its folder (`/proc/self/fd`), so
 * symlinks are never followed, and neither the length of a path nor a folder that is swapped
 * meanwhile leads astray. Files are told by their names alone; nothing opens them here.
 *
 * A folder with `cur` and `new` is a Maildir: its `tmp` is left alone, and so are the files beside
 * them, which are the server's own. The folders beside them are walked on. What lies in a folder whose
 * name says that it holds nothing of the verdict is given out as such (`folder-use.ts`).
 */
export type Walked = WalkedFile | NotMessage;

/** What Node's calls take for a path. */
type Address = string | Buffer;

export interface WalkedFile {
  readonly kind: 'file';
  /** Good until the walk goes on. */
  readonly address: Address;
  readonly place: string;
  /** Its raw path below the folder of the walk. */
  readonly below: string;
  /** The place of the mail folder that it lies in. */
  readonly folder: string;
  /** The use of that folder for which it is not to be taught. */
  readonly unwanted: FolderUse | undefined;
  /** It lies in a Maildir: it is a message. */
  readonly isInMaildir: boolean;
}

/** A folder to walk: open, or to be opened without following a symlink. */
export interface WalkRoot {
  /** Raw path. */
  readonly path: string;
  /** What its messages are to be taught as. */
  readonly verdict: Verdict;
  /** The walk closes it. */
  readonly fd?: number;
}

// Node's type wants a BufferEncoding, of which latin1 is one; names come as one character a byte.
const LATIN1: BufferEncoding = 'latin1';
const ENTRIES_AT_ONCE = 1_024;
const DEEPEST = 100;

/** A folder of the walk. */
interface Level {
  readonly verdict: Verdict;
  readonly depth: number;
  /** What places and raw paths of its entries begin with. */
  readonly place: string;
  readonly below: string;
  /** The place of the mail folder that its files lie in. */
  readonly folder: string;
  /** Why its own files aren't to be taught. */
  readonly unwanted: FolderUse | undefined;
  /** It is `cur` or `new` of a Maildir. */
  readonly isInMaildir: boolean;
}

export function walk({ path, verdict, fd }: WalkRoot): Generator<Walked, void, undefined> {
  const folder = encodePlace(path);
  const place = `${folder}/`;
  const root = { depth: 1, below: '', isInMaildir: false, unwanted: undefined };
  return walkFolder(nodePathOf(path), { ...root, verdict, folder, place }, fd);
}

function* walkFolder(
  address: Address,
  level: Level,
  open?: number,
): Generator<Walked, void, undefined> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd = open;
  let directory: Dir | undefined;
  try {
    fd ??= openSync(address, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    const inside = `/proc/self/fd/${fd}/`;
    directory = opendirSync(`${inside}.`, { encoding: LATIN1, bufferSize: ENTRIES_AT_ONCE });
    const isMaildir = isRealFolder(`${inside}cur`) && isRealFolder(`${inside}new`);
    const own =
      isMaildir && isInbox(level, inside) ? ({ ...level, unwanted: 'inbox' } as const) : level;
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      const { name } = entry;
      const address = nodePathOf(inside + name);
      const kind = entryKindOf(entry, address);
      if (kind !== 'folder') {
        if (!isMaildir) yield walkedFile(own, { name, address, kind });
      } else if (!isMaildir || name !== 'tmp') {
        const below = levelOf(own, name, isMaildir);
        if (level.depth < DEEPEST) yield* walkFolder(address, below);
        else yield { kind: 'failed', place: below.place.slice(0, -1), reason: TOO_DEEP };
      }
    }
  } catch (error) {
    yield entryFault(error, level.place.slice(0, -1));
  } finally {
    directory?.closeSync();
    if (fd !== undefined) closeSync(fd);
  }
}

const TOO_DEEP = `more than ${DEEPEST} folders deep`;

/** What an entry that is no folder is to the reader. */
function walkedFile(
  level: Level,
  entry: { name: string; address: Address; kind: EntryKind },
): Walked {
  const { name, address, kind } = entry;
  const { isInMaildir, folder } = level;
  const place = level.place + encodePlace(name);
  if (kind === 'gone') return { kind: 'failed', place, reason: REASON.vanished };
  if (kind === 'symlink') return { kind: 'skipped', place, reason: REASON.symlink };
  if (kind !== 'file') return { kind: 'skipped', place, reason: REASON.notRegular };
  if (name.startsWith('.')) return { kind: 'skipped', place, reason: REASON.hidden };
  const removed = whyRemoved(name, isInMaildir);
  if (removed !== undefined) return { kind: 'passed', place, reason: removed, folder };
  const isItself = level.unwanted === undefined && !isInMaildir;
  const itsUse = isItself ? unwantedFile(name, level.verdict) : undefined;
  return {
    ...{ kind, address, place, below: level.below + name, isInMaildir },
    folder: itsUse === undefined ? folder : place,
    unwanted: level.unwanted ?? itsUse,
  };
}

/** What is known of the folder `name` before it is opened. */
function levelOf(level: Level, name: string, isMaildir: boolean): Level {
  const { verdict, depth } = level;
  const isInMaildir = isMaildir && (name === 'cur' || name === 'new');
  // What lies below an inbox isn't the inbox.
  const isInherited = level.unwanted !== undefined && level.unwanted !== 'inbox';
  const place = `${level.place}${encodePlace(name)}/`;
  return {
    ...{ verdict, depth: depth + 1, place, below: `${level.below}${name}/`, isInMaildir },
    folder: isInMaildir || isArchiveDay(name) ? level.folder : place.slice(0, -1),
    unwanted: isInMaildir || isInherited ? level.unwanted : unwantedFolder(name, verdict),
  };
}

/** What servers keep in the uppermost folder of a Maildir, which is the inbox. */
const OF_INBOX = ['dovecot-uidvalidity', 'subscriptions', 'courierimapsubscribed', 'maildirsize'];

/** A Maildir that is an inbox, and no spam, unless it was named itself. */
function isInbox({ verdict, unwanted, depth, below }: Level, inside: string): boolean {
  if (verdict === 'ham' || unwanted !== undefined || depth === 1) return false;
  if (hasEntry(`${inside}maildirfolder`)) return false;
  return /(?:^|\/)Maildir\/$/.test(below) || OF_INBOX.some((each) => hasEntry(inside + each));
}

// A colon, or what replaces it where file systems don't take one.
const TRASHED = /[:!;]2,[A-Za-z]*T[A-Za-z]*$/;
/** MH numbers its messages; a removed one keeps its number behind a comma or a hash (nmh). */
const REMOVED = /^[,#]\d+$/;
const BACKUP = /^\d+(?:~|\.~\d+~|\.bak|\.orig)$/;

function whyRemoved(name: string, isInMaildir: boolean): string | undefined {
  if (isTrashed(name)) return REASON.trashed;
  if (isInMaildir) return undefined;
  if (REMOVED.test(name)) return REASON.removed;
  return BACKUP.test(name) ? REASON.backup : undefined;
}

/** The Maildir flag T: its user has marked it for deletion. */
export function isTrashed(rawName: string): boolean {
  return TRASHED.test(rawName);
}

type EntryKind = 'file' | 'folder' | 'symlink' | 'other' | 'gone';

function entryKindOf(entry: Dirent, address: Address): EntryKind {
  const isKnown =
    entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice();
  if (isKnown) return 'other';
  const isTold = entry.isFile() || entry.isDirectory() || entry.isSymbolicLink();
  // Some file systems don't say what an entry is.
  const is = isTold ? entry : lstatSync(address, { throwIfNoEntry: false });
  if (is === undefined) return 'gone';
  if (is.isFile()) return 'file';
  if (is.isDirectory()) return 'folder';
  return is.isSymbolicLink() ? 'symlink' : 'other';
}

function hasEntry(address: string): boolean {
  return lstatSync(address, { throwIfNoEntry: false }) !== undefined;
}

/** True for a folder, and not for a symlink to one. */
function isRealFolder(address: string): boolean {
  return lstatSync(address, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
