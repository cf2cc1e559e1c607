import { setImmediate } from 'node:timers/promises';
import { passedOverAs } from './folder-use.ts';
import type { MessageReader } from './message-reader.ts';
import { REASON } from './source.ts';
import type { Found, NotMessage } from './source.ts';
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
    const { address, place, folder } = walked;
    if (walked.unwanted !== undefined) {
      const reason = passedOverAs(walked.unwanted, root.verdict);
      for await (const each of messagesOf(walked, reader)) {
        yield { kind: 'passed', place: each, folder, reason, isByFolder: true };
      }
      continue;
    }
    tally.file();
    if (isOlder?.(walked) === true) {
      yield { kind: 'older', place };
      continue;
    }
    const reading = reader.readEntry(address, place, folder);
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

/** The places of the messages of a file that is passed over; nothing of them is kept. */
async function* messagesOf(
  { address, place, isInMaildir }: WalkedFile,
  reader: MessageReader,
): AsyncGenerator<string, void, undefined> {
  if (isInMaildir) {
    yield place;
    return;
  }
  const reading = reader.counter.readEntry(address, place);
  for await (const found of 'kind' in reading ? [reading] : reading) {
    if (found.kind === 'done') yield found.place;
  }
}

/**
 * Gives out what was found in a source, and that it fails when no mail was among it. A folder that
 * holds nothing is empty, and nothing has gone wrong; a file that holds nothing is no mail.
 * @param place the source's own
 */
export async function* orNoMail(
  reading: AsyncIterable<Found>,
  place: string,
): AsyncGenerator<Found, void, undefined> {
  let isEmpty = true;
  let isTold = false;
  let itself: NotMessage | undefined;
  for await (const found of reading) {
    if (itself !== undefined) yield itself;
    itself = undefined;
    // What the source is itself is a failure, unless more comes, as in an mbox.
    if (isEmpty && found.kind === 'skipped' && found.place === place) itself = found;
    else yield found;
    isEmpty &&= found.kind === 'skipped' && found.reason === REASON.hidden;
    isTold ||= found.kind !== 'skipped';
  }
  if (itself?.kind === 'skipped') yield { ...itself, kind: 'failed' };
  else if (!isEmpty && !isTold) yield { kind: 'failed', place, reason: REASON.noMail };
}

/** Entries between two breaths of the event loop: a few milliseconds. */
const SLICE = 2_000;

/**
 * Calls `onFile` for every file of a folder that is to be taught, in slices.
 * @returns false when `isWanted` said no before the end
 */
export async function forEachFile(
  root: WalkRoot,
  isWanted: () => boolean,
  onFile: (file: WalkedFile) => void,
): Promise<boolean> {
  let entries = 0;
  for (const walked of walk(root)) {
    if (walked.kind === 'file' && walked.unwanted === undefined) onFile(walked);
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
