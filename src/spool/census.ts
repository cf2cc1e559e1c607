import { errnoOf } from '../errors.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import { Folder } from './folder.ts';
import type { FolderEntry } from './folder.ts';
import { isKey, stagedKey } from './message.ts';

/**
 * The census: how many messages lie in a folder. It reads names, never a file, makes nothing, and
 * needs no more memory for a million names than for one.
 */

/**
 * Where messages lie: in a class folder (`drop`), below the state dir, or there in the days of the
 * archive.
 */
export type Place = 'drop' | 'queue' | 'release' | 'quarantine' | 'archive';

/**
 * Counts the messages in one folder.
 * @throws the system's error where it can't be read, `ENOENT` where it is missing
 */
export async function countMessages(path: string, place: Place): Promise<number> {
  using folder = Folder.open(path);
  if (place !== 'archive') return await countNames(folder, place);
  let messages = 0;
  for (const { rawName } of folder.list()) {
    try {
      using day = folder.openFolder(rawName);
      messages += await countNames(day, place);
    } catch (error) {
      // Its time was up a moment ago, or it is no folder.
      if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  return messages;
}

async function countNames(folder: Folder, place: Place): Promise<number> {
  let messages = 0;
  for (const entry of folder.list()) {
    if (isMessage(entry, place)) messages += 1;
    await yieldIfDue();
  }
  return messages;
}

/** Below the state dir also what is no regular file: a writer may have put it there, unread. */
function isMessage({ rawName, regular }: FolderEntry, place: Place): boolean {
  if (place !== 'drop') return isKey(rawName);
  // Of dotted names only those of files that are half-way into the queue.
  return regular && (!rawName.startsWith('.') || stagedKey(rawName) !== undefined);
}
