import { accessSync, constants } from 'node:fs';
import type { Clock } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { countMessages } from '../spool/census.ts';
import type { Count, Place } from '../spool/census.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';

/** How many messages lie where, and what can't be counted. */

export interface SpoolPaths {
  /** KOPANO_SPAMD_LIB. */
  readonly libDir: string;
  readonly stateDir: string;
}

/** Messages of each class; `null` where they can't be counted. */
export type Numbers = Readonly<Record<Verdict, number | null>>;

export interface Waiting {
  /** In the drop directory, not taken yet. */
  readonly dropped: Numbers;
  /** In the queue, whatever they wait for. */
  readonly queued: Numbers;
  readonly quarantined: Numbers;
  /** Out of the quarantine, not taken back yet. */
  readonly released: Numbers;
}

export interface Numbered {
  readonly numbers: Numbers;
  readonly faults: readonly Fault[];
}

/** A folder that can't be counted. */
export interface Fault {
  readonly path: string;
  /** `ENOENT`: it is missing. */
  readonly code: string;
}

/** Counts a place in both classes, and makes nothing. Rejects only by an error of this program. */
export async function count(paths: SpoolPaths, place: Place): Promise<Numbered> {
  const numbers: Record<Verdict, number | null> = { spam: null, ham: null };
  const faults: Fault[] = [];
  for (const verdict of VERDICTS) {
    const path = placeOf(paths, place, verdict);
    const found = await countMessages(path, place);
    if (found.kind === 'counted') numbers[verdict] = found.messages;
    else faults.push(faultOf(found, path, place === 'drop' ? paths.libDir : paths.stateDir));
  }
  return { numbers, faults };
}

/** The faults of several places, each folder once. */
export function allFaults(places: readonly Numbered[]): Fault[] {
  return [
    ...new Map(places.flatMap(({ faults }) => faults.map((fault) => [fault.path, fault]))).values(),
  ];
}

function placeOf({ libDir, stateDir }: SpoolPaths, place: Place, verdict: Verdict): string {
  return place === 'drop' ? `${libDir}/${verdict}` : `${stateDir}/${place}/${verdict}`;
}

/** @param base the folder that the counted one lies in; its own fault is told instead */
function faultOf(
  found: Exclude<Count, { readonly kind: 'counted' }>,
  path: string,
  base: string,
): Fault {
  const code = found.kind === 'missing' ? 'ENOENT' : found.code;
  try {
    accessSync(base, constants.R_OK | constants.X_OK);
    return { path, code };
  } catch (error) {
    const its = errnoOf(error);
    if (its === undefined) throw error;
    return its === code ? { path: base, code } : { path, code };
  }
}

/** A count is good for a second, and for twenty times as long as it took. */
const FRESH_MS = 1_000;
const FRESH_SHARE = 20;

/** Counts what waits when somebody wants to know; a large queue isn't listed again and again. */
export class Census {
  readonly #paths: SpoolPaths;
  readonly #clock: Clock;
  #last: Promise<Waiting> | undefined;
  #until = 0;

  constructor(paths: SpoolPaths, clock: Clock) {
    this.#paths = paths;
    this.#clock = clock;
  }

  waiting(): Promise<Waiting> {
    if (this.#last === undefined || this.#clock.monotonic() >= this.#until) {
      // While it is under way everybody gets this one.
      this.#until = Infinity;
      this.#last = this.#count();
      // Whoever asked has the error; the next one counts anew.
      this.#last.catch(() => (this.#last = undefined));
    }
    return this.#last;
  }

  async #count(): Promise<Waiting> {
    const started = this.#clock.monotonic();
    // One after the other: each holds the event loop for some milliseconds at a time.
    const dropped = await count(this.#paths, 'drop');
    const queued = await count(this.#paths, 'queue');
    const quarantined = await count(this.#paths, 'quarantine');
    const released = await count(this.#paths, 'release');
    const now = this.#clock.monotonic();
    this.#until = now + Math.max(FRESH_MS, (now - started) * FRESH_SHARE);
    return {
      dropped: dropped.numbers,
      queued: queued.numbers,
      quarantined: quarantined.numbers,
      released: released.numbers,
    };
  }
}
