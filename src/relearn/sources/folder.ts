import type { ContentReader } from './content-reader.ts';
import { passedOverAs } from './folder-use.ts';
import type { SizeEstimate } from './size-estimate.ts';
import { REASON } from './source.ts';
import type { Found, NotMessage, Reading } from './source.ts';
import { walk } from './walk.ts';
import type { WalkedFile, WalkRoot } from './walk.ts';
import { yieldIfDue } from '../../yield-if-due.ts';

/** Reading and counting all that a folder holds. */
export interface FolderReadingOptions {
  readonly reader: ContentReader;
  readonly estimate: SizeEstimate;
  /** Whether a newer file counts instead of this one. */
  readonly isOlder?: (file: WalkedFile) => boolean;
}

export async function* readFolder(
  root: WalkRoot,
  { reader, estimate, isOlder }: FolderReadingOptions,
): Reading {
  for (const walked of walk(root)) {
    await yieldIfDue();
    if (walked.kind !== 'file') yield walked;
    else if (walked.unwanted !== undefined) {
      for await (const place of placesOf(walked, reader)) {
        const reason = passedOverAs(walked.unwanted, root.verdict);
        yield { kind: 'passed', place, folder: walked.folder, reason, isByFolder: true };
      }
    } else {
      estimate.fileBegins();
      const { address, place, folder } = walked;
      if (isOlder?.(walked) === true) yield { kind: 'older', place };
      else yield* reader.readEntry(address, place, folder);
    }
  }
}

/** The places of the messages of a file that is passed over. */
async function* placesOf(
  { address, place, isInMaildir }: WalkedFile,
  reader: ContentReader,
): AsyncGenerator<string, void, undefined> {
  if (isInMaildir) yield place;
  else yield* reader.placesIn(address, place);
}

/** Calls `onFile` for every file of a folder that is to be taught, until `signal` ends it. */
export async function forEachFile(
  root: WalkRoot,
  signal: AbortSignal | undefined,
  onFile: (file: WalkedFile) => void,
): Promise<void> {
  for (const walked of walk(root)) {
    await yieldIfDue();
    if (signal?.aborted === true) return;
    if (walked.kind === 'file' && walked.unwanted === undefined) onFile(walked);
  }
}

/**
 * Gives out what was found in a source, and that it fails when no mail was among it. A folder that
 * holds nothing is empty, and nothing has gone wrong; a file that holds nothing is no mail.
 * @param place the source's own
 */
export async function* orNoMail(reading: AsyncIterable<Found>, place: string): Reading {
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
