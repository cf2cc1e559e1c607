import type { WrittenFile } from './files.ts';
import type { Process } from './machine.ts';
import type { Timeline } from './time.ts';

/** What has happened so far, what of it broke a law, who rules, and what the ruler saw. */

const SETTLE_MS = 2_000;
const STUCK_MS = 600_000;
/** Sums of times are not exact. */
const ROUNDING_MS = 0.001;

/** One session as the laws know it. */
interface Term {
  readonly process: Process;
  readonly since: number;
}

/** What a session saw of a file. */
interface Seen {
  readonly term: Term | undefined;
  readonly changes: number;
  readonly marked: boolean;
  /** A mark that survives a change proves nothing any more. */
  readonly trusted: boolean;
}

/** How long a file has to lie still. */
export function settleTime(marked: boolean): number {
  return marked ? SETTLE_MS / 10 : SETTLE_MS;
}

export class Chronicle {
  /** What was broken, in the order in which it was. It isn't thrown: the program would catch it. */
  readonly broken: string[] = [];
  readonly lines: string[] = [];
  /** Who owns the spool now. */
  term: Term | undefined;
  readonly timeline: Timeline<Process>;
  readonly #owns: (process: Process) => boolean;
  readonly #seen = new WeakMap<WrittenFile, Seen>();

  /** @param owns whether a process holds the lock of the state dir */
  constructor(timeline: Timeline<Process>, owns: (process: Process) => boolean) {
    this.timeline = timeline;
    this.#owns = owns;
  }

  get now(): number {
    return this.timeline.now;
  }

  trace(line: string): void {
    this.lines.push(`${this.now.toFixed(1).padStart(10)}  ${line}`);
  }

  violate(what: string): void {
    this.trace(`BROKEN: ${what}`);
    this.broken.push(what);
  }

  /** One owner (law 12). */
  mustOwn(process: Process, what: string): void {
    if (!this.#owns(process)) this.violate(`daemon ${process.id} ${what} and is no owner`);
  }

  // --- the gate (law 1)

  /** The owner looked at a file. */
  looked(file: WrittenFile): void {
    const before = this.#seen.get(file);
    const seen = before?.term === this.term ? before : undefined;
    if (seen?.changes === file.changes) return;
    this.#seen.set(file, {
      term: this.term,
      changes: file.changes,
      marked: file.marked,
      trusted: seen === undefined || (seen.trusted && !seen.marked),
    });
  }

  /** Its folder was made anew: the owner may have missed it there, and sees it for the first time. */
  lostSight(file: WrittenFile): void {
    this.#seen.delete(file);
  }

  /** It has lain still for long enough. */
  hasSettled(file: WrittenFile): boolean {
    const seen = this.#seen.get(file);
    const isTrusted = seen?.term !== this.term || seen?.trusted !== false;
    const still = this.now - file.changedAt;
    return file.length > 0 && still >= settleTime(file.marked && isTrusted) - ROUNDING_MS;
  }

  /** It is no twin any more: empty for ten minutes. */
  isStuck(file: WrittenFile): boolean {
    const since = Math.max(file.changedAt, this.term?.since ?? 0);
    return file.length === 0 && this.now - since >= STUCK_MS;
  }
}
