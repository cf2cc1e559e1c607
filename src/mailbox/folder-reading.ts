import { setImmediate } from 'node:timers/promises';
import type { MessageReader } from './message-reader.ts';
import type { Found } from './source.ts';
import type { Tally } from './tally.ts';
import { walk } from './walk.ts';
import type { WalkedFile, WalkRoot } from './walk.ts';

/** Reading and counting all that a folder holds. */
export interface FolderReadingOptions {
  readonly reader: MessageReader;
  readonly tally: Tally;
  /** Whether a newer file counts instead of this one. */
  readonly isOlder?: (file: WalkedFile) => boolean;
}

export async function* readFolder(
  root: WalkRoot,
  { reader, tally, isOlder }: FolderReadingOptions,
): AsyncGenerator<Found, void, undefined> {
  for (const walked of walk(root)) {
    if (reader.breath.isDue()) await reader.breath.take();
    if (walked.kind !== 'file') {
      yield walked;
      continue;
    }
    const { address, place } = walked;
    tally.file();
    if (isOlder?.(walked) === true) {
      yield { kind: 'older', place };
      continue;
    }
    const reading = reader.readEntry(address, place);
    if ('kind' in reading) {
      tally.add(reading);
      yield reading;
      continue;
    }
    for await (const found of reading) {
      tally.add(found);
      yield found;
    }
  }
}

/** Entries between two breaths of the event loop: a few milliseconds. */
const SLICE = 2_000;

/**
 * Calls `onFile` for every file of a folder, in slices.
 * @returns false when `isWanted` said no before the end
 */
export async function forEachFile(
  root: WalkRoot,
  isWanted: () => boolean,
  onFile: (file: WalkedFile) => void,
): Promise<boolean> {
  let entries = 0;
  for (const walked of walk(root)) {
    if (walked.kind === 'file') onFile(walked);
    entries += 1;
    if (entries % SLICE !== 0) continue;
    await setImmediate();
    if (!isWanted()) return false;
  }
  return true;
}

/** Counts the files of a folder; `undefined` when it was ended by `signal`. */
export async function countFiles(root: WalkRoot, signal: AbortSignal): Promise<number | undefined> {
  let files = 0;
  const isWhole = await forEachFile(
    root,
    () => !signal.aborted,
    () => {
      files += 1;
    },
  );
  return isWhole ? files : undefined;
}
