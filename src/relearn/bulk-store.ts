import type { MessageEntry } from '../delivery/message.ts';
import type { Disposition } from '../delivery/result.ts';
import type { MessageStore } from '../delivery/store.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Held } from '../trainers/trainer.ts';
import { classesOf } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import type { Journal } from './journal.ts';
import type { RunStats } from './stats.ts';

/**
 * The messages of a run that were read and have not ended, with their bodies in memory, because an
 * mbox, a compressed file and standard input can't be read again. What ends is counted and goes into
 * the journal. Whoever puts messages in looks at `bytes` first.
 */
export class BulkStore implements MessageStore {
  readonly #bodies = new Map<string, Buffer>();
  readonly #stats: RunStats;
  readonly #journal: Journal | undefined;
  #bytes = 0;

  constructor(stats: RunStats, journal?: Journal) {
    this.#stats = stats;
    this.#journal = journal;
  }

  /** Bytes that the bodies take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The places of the messages that have not ended. */
  get places(): readonly string[] {
    return [...this.#bodies.keys()];
  }

  /** Takes a message in; its place is its key. */
  put(place: string, verdict: Verdict, body: Buffer): MessageEntry {
    this.#bodies.set(place, body);
    this.#bytes += body.length;
    return { verdict, key: place, bytes: body.length };
  }

  /** The body of a message that has not ended. */
  bodyOf({ key }: MessageEntry): Buffer | undefined {
    return this.#bodies.get(key);
  }

  get verdicts(): readonly Verdict[] {
    return classesOf(this.#stats.counts.learned);
  }

  placeOf(verdict?: Verdict): string {
    return verdict === undefined ? 'the sources' : `the sources of ${verdict}`;
  }

  /** Nothing lies anywhere else: what there is was offered. */
  *scan(): Generator<FoundEntry, void, undefined> {
    // nothing
  }

  read(entry: MessageEntry): Promise<ReadResult> {
    const body = this.bodyOf(entry);
    return Promise.resolve(body === undefined ? { kind: 'gone' } : { kind: 'body', body });
  }

  /** A run posts its messages anew, whatever an earlier one did. */
  postsOf(): number {
    return 0;
  }

  recordPosts(): void {
    // nothing is kept
  }

  /** For this run a message that is held back has ended. */
  leave({ key, verdict }: MessageEntry, why: Held): void {
    if (this.#end(key)) this.#stats.held(key, verdict, why);
  }

  dispose({ key, verdict }: MessageEntry, disposition: Disposition): CheckResult {
    if (!this.#end(key)) return undefined;
    this.#stats.finished(key, verdict, disposition);
    const { kind } = disposition;
    // What lacks its proof is not done for good: the same command posts it once more.
    const isUnproven = kind === 'learned' && !disposition.proven;
    if (kind !== 'quarantined' && !isUnproven) this.#journal?.add(kind, verdict, key);
    return undefined;
  }

  /** Lets go of a message; false when it is gone already. */
  #end(key: string): boolean {
    const body = this.#bodies.get(key);
    if (body === undefined) return false;
    this.#bodies.delete(key);
    this.#bytes -= body.length;
    return true;
  }
}
