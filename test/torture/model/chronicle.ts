import type { Found, Message } from './files.ts';
import type { Process } from './machine.ts';
import type { Timeline } from './time.ts';

/** What has happened so far, what of it broke a law, and who rules. */

export const SETTLE_MS = 2_000;
export const MAX_ATTEMPTS = 2;
export const ARCHIVE_DAYS = 30;

export const VERDICTS = ['spam', 'ham'] as const;

/** One tenure as the laws know it. */
export interface Term {
  readonly process: Process;
  readonly since: number;
}

export class Chronicle {
  /** What was broken, in the order in which it was. It isn't thrown: the program would catch it. */
  readonly broken: string[] = [];
  readonly lines: string[] = [];
  /** The last verdict of a key that pickup took. */
  readonly latest = new Map<string, Message>();
  /** Who owns the spool now. */
  term: Term | undefined;
  readonly timeline: Timeline<Process>;
  readonly #owns: (process: Process) => boolean;

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
}

/** How long a file has to lie still. */
export function settleTime(marked: boolean): number {
  return marked ? SETTLE_MS / 10 : SETTLE_MS;
}

export function nameOf({ message, length, isWhole }: Found): string {
  return isWhole ? message.name : `${message.name} up to ${length}`;
}
