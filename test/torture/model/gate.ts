import { settleTime } from './chronicle.ts';
import type { Chronicle, Term } from './chronicle.ts';
import type { WrittenFile } from './files.ts';

/**
 * When a file may be taken, by what really happened to it and what the daemon saw of that (law 1).
 */
const STUCK_MS = 600_000;
/** Sums of times are not exact. */
const ROUNDING_MS = 0.001;

/** What a tenure saw of a file. */
interface Seen {
  readonly term: Term | undefined;
  readonly changes: number;
  readonly marked: boolean;
  /** A mark that survives a change proves nothing any more. */
  readonly trusted: boolean;
}

export class GateLaw {
  readonly #chronicle: Chronicle;
  readonly #seen = new WeakMap<WrittenFile, Seen>();

  constructor(chronicle: Chronicle) {
    this.#chronicle = chronicle;
  }

  /** The owner looked at a file. */
  looked(file: WrittenFile): void {
    const before = this.#seen.get(file);
    const seen = before?.term === this.#chronicle.term ? before : undefined;
    if (seen?.changes === file.changes) return;
    this.#seen.set(file, {
      term: this.#chronicle.term,
      changes: file.changes,
      marked: file.marked,
      trusted: seen === undefined || (seen.trusted && !seen.marked),
    });
  }

  /** It has lain still for long enough. */
  hasPassed(file: WrittenFile): boolean {
    const seen = this.#seen.get(file);
    const isTrusted = seen?.term !== this.#chronicle.term || seen?.trusted !== false;
    const still = this.#chronicle.now - file.changedAt;
    return file.length > 0 && still >= settleTime(file.marked && isTrusted) - ROUNDING_MS;
  }

  /** It is no twin any more: empty for ten minutes. */
  isStuck(file: WrittenFile): boolean {
    const since = Math.max(file.changedAt, this.#chronicle.term?.since ?? 0);
    return file.length === 0 && this.#chronicle.now - since >= STUCK_MS;
  }
}
