import { mkdirSync, renameSync, unlinkSync } from 'node:fs';
import type { Folder } from './folder.ts';
import { VERDICTS, otherVerdict } from '../verdict.ts';
import type { QueueEntry } from './message.ts';
import type { Verdict } from '../verdict.ts';
import type { CheckResult, Queue } from './queue.ts';
import { isArchiveDay } from './retention.ts';

/**
 * Disposal: what becomes of a message that rspamd remembers. It is removed, or moved to
 * `archive/VERDICT/YYYY-MM-DD/NAME` (UTC), but only while it is still the file that was learned.
 */
export class Disposal {
  readonly #options: DisposalOptions;

  constructor(options: DisposalOptions) {
    this.#options = options;
  }

  /**
   * Disposes of an entry. Safe to repeat.
   * @returns what is different about the file, which then stays; `undefined` when it is done
   * @throws the system's error for a local fault; the entry is then still in the queue
   */
  dispose(entry: QueueEntry): CheckResult {
    const { queue, after } = this.#options;
    const different = queue.check(entry);
    if (different !== undefined) return different;
    const file = queue.folder(entry.verdict).at(entry.key);
    if (after === 'remove') unlinkSync(file);
    else this.#archive(entry);
    return undefined;
  }

  #archive({ verdict, key }: QueueEntry): void {
    const { queue, archive, wall } = this.#options;
    const day = new Date(wall()).toISOString().slice(0, 10);
    const folder = archive[verdict];
    if (folder.lstat(day) === undefined) mkdirSync(folder.at(day), { mode: 0o700 });
    // The other verdict of the same day is history; of two days the reader takes the later one, which
    // a clock that was ahead has made of an earlier one. They go first: a crash in between leaves the
    // message in the queue.
    archive[otherVerdict(verdict)].removeFile(`${day}/${key}`);
    for (const each of VERDICTS) {
      for (const later of laterDays(archive[each], day))
        archive[each].removeFile(`${later}/${key}`);
    }
    renameSync(queue.folder(verdict).at(key), folder.at(`${day}/${key}`));
  }
}

function laterDays(folder: Folder, day: string): string[] {
  return [...folder.list()]
    .map(({ rawName }) => rawName)
    .filter((name) => name > day && isArchiveDay(name) && folder.lstat(name)?.isDirectory());
}

export interface DisposalOptions {
  readonly queue: Queue;
  readonly archive: Readonly<Record<Verdict, Folder>>;
  readonly after: 'remove' | 'archive';
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}
