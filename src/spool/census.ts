import { errnoOf } from '../errors.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import { Folder } from './folder.ts';
import type { FolderEntry } from './folder.ts';
import { isKey } from './message.ts';

/**
 * The census: how many messages lie in a folder. It reads names, never a file, makes nothing, and
 * needs no more memory for a million names than for one.
 */
export type Count =
  | { readonly kind: 'counted'; readonly messages: number }
  | { readonly kind: 'missing' }
  /** It can't be read; `code` is the system's (`EACCES`). */
  | { readonly kind: 'unreadable'; readonly code: string };

/** Where messages lie, as far as counting goes. */
export type Place =
  /** A class folder: of dotted names only staged files, which are half-way into the queue, count. */
  | 'drop'
  | 'queue'
  /** Out of the quarantine, until the owner takes them. */
  | 'release'
  /** Each message lies beside its reason. */
  | 'quarantine'
  /** Days, with messages in them. */
  | 'archive';

const STAGED = '.learnd-';

/** Counts the messages in one folder. Rejects only by an error of this program. */
export async function countMessages(path: string, place: Place): Promise<Count> {
  try {
    const folder = Folder.open(path);
    try {
      const messages =
        place === 'archive' ? await countDays(folder) : await countNames(folder, place);
      return { kind: 'counted', messages };
    } finally {
      folder.close();
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', code };
  }
}

/** Below the state dir also what is no regular file: a writer may have put it there, unread. */
const IS_MESSAGE: Readonly<Record<Place, (entry: FolderEntry) => boolean>> = {
  drop: ({ rawName, regular }) =>
    regular && (!rawName.startsWith('.') || rawName.startsWith(STAGED)),
  queue: ({ rawName }) => isKey(rawName),
  release: ({ rawName }) => isKey(rawName),
  quarantine: ({ rawName }) => isKey(rawName),
  archive: ({ rawName }) => isKey(rawName),
};

async function countNames(folder: Folder, place: Place): Promise<number> {
  let messages = 0;
  for (const entry of folder.list()) {
    if (IS_MESSAGE[place](entry)) messages += 1;
    await yieldIfDue();
  }
  return messages;
}

async function countDays(archive: Folder): Promise<number> {
  let messages = 0;
  for (const { rawName } of archive.list()) {
    let day: Folder;
    try {
      day = archive.openFolder(rawName);
    } catch (error) {
      // Its time was up a moment ago, or it is no folder.
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) continue;
      throw error;
    }
    try {
      messages += await countNames(day, 'archive');
    } finally {
      day.close();
    }
  }
  return messages;
}
