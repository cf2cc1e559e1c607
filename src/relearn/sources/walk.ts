import { closeSync, constants, lstatSync, openSync, opendirSync } from 'node:fs';
import type { Dir, Dirent } from 'node:fs';
import type { Verdict } from '../../verdict.ts';
import { isArchiveDay } from '../../spool/retention.ts';
import { entryFault } from './fault.ts';
import type { FolderUse } from './folder-names.ts';
import { unwantedFile, unwantedFolder } from './folder-use.ts';
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
 * them, which are the server's own. The folders beside them are walked on. What lies in a folder whose
 * name says that it holds nothing of the verdict is given out as such (`folder-use.ts`).
 */
export type Walked = WalkedFile | NotMessage;

export interface WalkedFile {
  readonly kind: 'file';
  /** What Node's calls take; good until the walk goes on. */
  readonly address: string | Buffer;
  readonly place: string;
  /** Its raw path below the folder of the walk. */
  readonly below: string;
  /** The place of the mail folder that it lies in. */
  readonly folder: string;
  /** The use of that folder for which it is not to be taught. */
  readonly unwanted?: FolderUse;
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
  /** It is `cur` or `new` of a Maildir. */
  readonly isInMaildir: boolean;
  /** The place of the mail folder that its files lie in. */
  readonly folder: string;
  /** Why its own files aren't to be taught. */
  readonly unwanted: FolderUse | undefined;
}

export function* walk(root: WalkRoot): Generator<Walked, void, undefined> {
  const levels: Level[] = [];
  try {
    const folder = encodePlace(root.path);
    const within = { below: '', folder, isInMaildir: false, unwanted: undefined };
    const first = enter(addressOf(root.path), within, `${folder}/`, root.fd);
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
      const walked = look(level, entry, root.verdict);
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
function look(level: Level, entry: Dirent, verdict: Verdict): Walked | Level | undefined {
  const { name } = entry;
  const address = addressOf(level.address + name);
  const kind = kindOf(entry, address);
  if (kind === 'folder') return lookInto(level, name, verdict);
  if (level.isMaildir) return undefined;
  const place = level.place + encodePlace(name);
  if (kind === 'gone') return { kind: 'failed', place, reason: REASON.vanished };
  if (kind !== 'file') return { kind: 'skipped', place, reason: NOT_READ[kind] };
  if (name.startsWith('.')) return { kind: 'skipped', place, reason: REASON.hidden };
  const { folder, isInMaildir } = level;
  const reason = whyRemoved(name, isInMaildir);
  if (reason !== undefined) return { kind: 'passed', place, reason, folder };
  const file = { kind: 'file', address, place, below: level.below + name, isInMaildir } as const;
  if (level.unwanted !== undefined) return { ...file, folder, unwanted: level.unwanted };
  const unwanted = isInMaildir ? undefined : unwantedFile(name, verdict);
  return unwanted === undefined ? { ...file, folder } : { ...file, folder: place, unwanted };
}

function lookInto(level: Level, name: string, verdict: Verdict): Level | NotMessage | undefined {
  if (level.isMaildir && name === 'tmp') return undefined;
  const isPart = level.isMaildir && (name === 'cur' || name === 'new');
  const unwanted =
    isPart || isInherited(level.unwanted) ? level.unwanted : unwantedFolder(name, verdict);
  const place = `${level.place}${encodePlace(name)}/`;
  const below = `${level.below}${name}/`;
  const folder = isPart || isArchiveDay(name) ? level.folder : place.slice(0, -1);
  const within = { below, folder, isInMaildir: isPart, unwanted };
  const entered = enter(addressOf(level.address + name), within, place);
  if ('kind' in entered || verdict === 'ham' || unwanted !== undefined) return entered;
  return isInboxOf(entered, name) ? { ...entered, unwanted: 'inbox' } : entered;
}

/** What lies below an inbox isn't the inbox. */
function isInherited(use: FolderUse | undefined): boolean {
  return use !== undefined && use !== 'inbox';
}

/** What servers keep in the uppermost folder of a Maildir, which is the inbox. */
const OF_INBOX = ['dovecot-uidvalidity', 'subscriptions', 'courierimapsubscribed', 'maildirsize'];

function isInboxOf({ isMaildir, address }: Level, name: string): boolean {
  if (!isMaildir || isThere(`${address}maildirfolder`)) return false;
  return name === 'Maildir' || OF_INBOX.some((each) => isThere(address + each));
}

const NOT_READ = { symlink: REASON.symlink, other: REASON.notRegular } as const;

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

/** What a folder's level has by its place in the walk. */
type Within = Pick<Level, 'below' | 'folder' | 'isInMaildir' | 'unwanted'>;

function enter(
  address: string | Buffer,
  within: Within,
  place: string,
  open?: number,
): Level | NotMessage {
  let fd = open;
  try {
    fd ??= openSync(address, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    const inside = `/proc/self/fd/${fd}/`;
    const directory = opendirSync(`${inside}.`, { encoding: LATIN1, bufferSize: ENTRIES_AT_ONCE });
    const isMaildir = isFolder(`${inside}cur`) && isFolder(`${inside}new`);
    return { ...within, fd, directory, address: inside, place, isMaildir };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    return entryFault(error, place.slice(0, -1));
  }
}

function isThere(address: string): boolean {
  return lstatSync(address, { throwIfNoEntry: false }) !== undefined;
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
