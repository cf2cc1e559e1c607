import { closeSync, constants, lstatSync, openSync, opendirSync } from 'node:fs';
import type { Dir, Dirent } from 'node:fs';
import { isArchiveDay } from '../../spool/archive.ts';
import type { Verdict } from '../../verdict.ts';
import { passedOverAs, unwantedFile, unwantedFolder } from './folder-use.ts';
import type { FolderUse } from './folder-use.ts';
import { encodePlace, entryFault, placeOf } from './source.ts';
import type { Found } from './source.ts';

/**
 * Walks a folder and those in it, depth first, as the entries come; it holds two descriptors a level
 * and nothing else. Everything is reached through the descriptor of its folder (`/proc/self/fd`), so
 * symlinks are never followed, and neither the length of a path nor a folder that is swapped
 * meanwhile leads astray. Nothing opens the files here.
 *
 * A folder with `cur` and `new` is a Maildir (Thunderbird's have `cur` and `tmp` alone): its `tmp` is
 * left alone, and so are the files beside them, which are the server's own. The folders beside them
 * are walked on. Files whose names begin with a dot are left alone everywhere.
 */
type Walked = WalkedFile | Found;

/** What Node's calls take for a path. */
type Address = string | Buffer;

/** A file that may be taught. */
interface WalkedFile {
  readonly kind: 'file';
  /** Good until the walk goes on. */
  readonly address: Address;
  readonly place: string;
  /** The place of the mail folder that it lies in. */
  readonly folder: string;
}

// Node's type wants a BufferEncoding, of which latin1 is one; names come as one character a byte.
const LATIN1: BufferEncoding = 'latin1';
const DEEPEST = 100;
/** By their names: what its user has deleted, or moved elsewhere, and is still there. */
const GONE = [
  // A file system may not take the colon.
  [/[:!;]2,[A-Za-z]*T[A-Za-z]*$/, 'in the trash (Maildir flag T)'],
  [/^,\d+$/, 'deleted or moved (comma of MH)'],
] as const;

/** A folder of the walk. */
interface Level {
  readonly verdict: Verdict;
  readonly depth: number;
  readonly place: string;
  /** The place of the mail folder that its files lie in. */
  readonly folder: string;
  /** The use for which its own files aren't to be taught. */
  readonly unwanted?: FolderUse | undefined;
  readonly isInMaildir: boolean;
}

/** @param path a folder, or a symlink to one */
export function walk(path: string, verdict: Verdict): Generator<Walked, void, undefined> {
  const place = placeOf(path);
  return walkFolder(path, { verdict, depth: 1, place, folder: place, isInMaildir: false });
}

function* walkFolder(address: Address, level: Level): Generator<Walked, void, undefined> {
  if (level.depth > DEEPEST) {
    yield { kind: 'failed', place: level.place, reason: `more than ${DEEPEST} folders deep` };
    return;
  }
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK;
  let fd: number | undefined;
  let directory: Dir | undefined;
  try {
    fd = openSync(address, level.depth === 1 ? flags : flags | constants.O_NOFOLLOW);
    const inside = `/proc/self/fd/${fd}/`;
    directory = opendirSync(`${inside}.`, { encoding: LATIN1, bufferSize: 1_024 });
    const has = (name: string): boolean =>
      lstatSync(inside + name, { throwIfNoEntry: false })?.isDirectory() === true;
    const isMaildir = has('cur') && (has('new') || has('tmp'));
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      const address = addressOf(inside + entry.name);
      if (!entry.isDirectory()) {
        if (!isMaildir && !entry.name.startsWith('.')) yield walkedFile(address, entry, level);
      } else if (!isMaildir || entry.name !== 'tmp') {
        yield* walkFolder(address, levelBelow(level, entry.name, isMaildir));
      }
    }
  } catch (error) {
    yield entryFault(error, level.place);
  } finally {
    directory?.closeSync();
    if (fd !== undefined) closeSync(fd);
  }
}

/** A raw path; most names are ASCII, and a string costs less than a buffer. */
function addressOf(raw: string): Address {
  return /^[ -~]*$/.test(raw) ? raw : Buffer.from(raw, 'latin1');
}

/** What an entry that is no folder is to the reader. */
function walkedFile(address: Address, entry: Dirent, level: Level): Walked {
  const { name } = entry;
  const { folder, verdict, unwanted } = level;
  const place = `${level.place}/${encodePlace(name)}`;
  if (entry.isSymbolicLink()) {
    return { kind: 'notMail', place, reason: 'a symbolic link, which is not followed' };
  }
  if (!entry.isFile()) return { kind: 'notMail', place, reason: 'not a regular file' };
  const gone = GONE.find(([pattern]) => pattern.test(name));
  if (gone !== undefined) return { kind: 'passedOver', place, folder, reason: gone[1] };
  if (unwanted !== undefined) {
    const reason = passedOverAs(unwanted, verdict);
    return { kind: 'passedOver', place, folder, reason, isByFolder: true };
  }
  const itsUse = level.isInMaildir ? undefined : unwantedFile(name, verdict);
  if (itsUse !== undefined)
    return { kind: 'passedOver', place, reason: passedOverAs(itsUse, verdict) };
  return { kind: 'file', address, place, folder };
}

/** What is known of the folder `name` before it is opened. */
function levelBelow(level: Level, name: string, isMaildir: boolean): Level {
  const { verdict, depth } = level;
  const isInMaildir = isMaildir && (name === 'cur' || name === 'new');
  // What lies below an inbox isn't the inbox.
  const isInherited = level.unwanted !== undefined && level.unwanted !== 'inbox';
  const place = `${level.place}/${encodePlace(name)}`;
  return {
    verdict,
    depth: depth + 1,
    place,
    isInMaildir,
    folder: isInMaildir || isArchiveDay(name) ? level.folder : place,
    unwanted: isInMaildir || isInherited ? level.unwanted : unwantedFolder(name, verdict),
  };
}
