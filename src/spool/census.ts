import { errnoOf } from '../errors.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import { Folder } from './folder.ts';
import type { FolderEntry } from './folder.ts';
import { STAGED_PREFIX, isKey } from './message.ts';

/**
 * The census: how many messages lie in a folder. It reads names, never a file, makes nothing, and
 * needs no more memory for a million names than for one.
 */
export type Count =
  | { readonly kind: 'counted'; readonly messages: number }
  | { readonly kind: 'missing' }
  /** It can't be read; `code` is the system's (`EACCES`). */
  | { readonly kind: 'unreadable'; readonly code: string };

/**
 * Where messages lie: in a class folder (`drop`), below the state dir, or there in the days of the
 * archive.
 */
export type Place = 'drop' | 'queue' | 'release' | 'quarantine' | 'archive';

/** Counts the messages in one folder. Rejects only by an error of this program. */
export async function countMessages(path: string, place: Place): Promise<Count> {
  try {
    const folder = Folder.open(path);
    const messages = await (place === 'archive' ? countDays(folder) : countNames(folder, place));
    return { kind: 'counted', messages };
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', code };
  }
}

/** Counts what is in a folder, and closes it. */
async function countNames(folder: Folder, place: Place): Promise<number> {
  let messages = 0;
  try {
    for (const entry of folder.list()) {
      if (isMessage(entry, place)) messages += 1;
      await yieldIfDue();
    }
  } finally {
    folder.close();
  }
  return messages;
}

/** Below the state dir also what is no regular file: a writer may have put it there, unread. */
function isMessage({ rawName, regular }: FolderEntry, place: Place): boolean {
  if (place !== 'drop') return isKey(rawName);
  // Of dotted names only those of files that are half-way into the queue.
  return regular && (!rawName.startsWith('.') || rawName.startsWith(STAGED_PREFIX));
}

async function countDays(archive: Folder): Promise<number> {
  let messages = 0;
  try {
    for (const { rawName } of archive.list()) {
      try {
        messages += await countNames(archive.openFolder(rawName), 'archive');
      } catch (error) {
        // Its time was up a moment ago, or it is no folder.
        if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) throw error;
      }
    }
  } finally {
    archive.close();
  }
  return messages;
}
