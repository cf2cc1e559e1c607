import type { PendingMessage } from '../delivery/message.ts';
import type { Disposition } from '../delivery/result.ts';
import type { MessageStore } from '../delivery/store.ts';
import type { QueueEntry } from '../spool/message.ts';
import type { Verdict } from '../verdict.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Held } from '../trainers/trainer.ts';

/**
 * The messages of a run that were read and have not ended: with their bodies in memory, because an
 * mbox, a compressed file and standard input can't be read again. Whoever puts messages in looks at
 * `bytes` first.
 */
export class BulkStore implements MessageStore {
  readonly #bodies = new Map<string, Buffer>();
  readonly #onDisposed: DispositionListener;
  readonly #onHeld: HeldListener;
  #bytes = 0;
  #ended = 0;

  /**
   * @param onDisposed hears of each message that has ended
   * @param onHeld hears of each one that is held back, which ends it, too, for this run
   */
  constructor(onDisposed: DispositionListener, onHeld: HeldListener) {
    this.#onDisposed = onDisposed;
    this.#onHeld = onHeld;
  }

  /** Bytes that the bodies take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages that have ended. */
  get ended(): number {
    return this.#ended;
  }

  /** Messages that have not ended. */
  get size(): number {
    return this.#bodies.size;
  }

  /** The places of the messages that have not ended. */
  places(): Iterable<string> {
    return this.#bodies.keys();
  }

  /** Takes a message in; its place is its key. */
  put(place: string, verdict: Verdict, body: Buffer): QueueEntry {
    this.#bodies.set(place, body);
    this.#bytes += body.length;
    return {
      verdict,
      key: place,
      stamp: { dev: 0n, ino: 0n, size: BigInt(body.length), mtimeNs: 0n },
    };
  }

  placeOf(verdict?: Verdict): string {
    return verdict === undefined ? 'the sources' : `the sources of ${verdict}`;
  }

  /** Nothing lies anywhere else: what there is was offered. */
  *scan(): Generator<FoundEntry, void, undefined> {
    // nothing
  }

  read({ key }: QueueEntry): Promise<ReadResult> {
    const body = this.#bodies.get(key);
    return Promise.resolve(body === undefined ? { kind: 'gone' } : { kind: 'body', body });
  }

  /** A run posts its messages anew, whatever an earlier one did. */
  postsOf(): number {
    return 0;
  }

  recordPosts(): void {
    // nothing is kept
  }

  leave({ key, verdict }: QueueEntry, why: Held): boolean {
    if (this.#end(key)) this.#onHeld(key, verdict, why);
    return true;
  }

  dispose({ entry }: PendingMessage, disposition: Disposition): CheckResult {
    const { key, verdict } = entry;
    if (this.#end(key)) this.#onDisposed(key, verdict, disposition);
    return undefined;
  }

  /** Lets go of a message; false when it is gone already. */
  #end(key: string): boolean {
    const body = this.#bodies.get(key);
    if (body === undefined) return false;
    this.#bodies.delete(key);
    this.#bytes -= body.length;
    this.#ended += 1;
    return true;
  }
}

type DispositionListener = (place: string, verdict: Verdict, disposition: Disposition) => void;
type HeldListener = (place: string, verdict: Verdict, why: Held) => void;
