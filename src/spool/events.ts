import type { Verdict } from '../verdict.ts';
import type { QueueEntry } from './message.ts';

/** What the spool tells whoever delivers its messages. */
export interface SpoolEvents {
  /** A message came into the queue; `settled` when it is known to be complete. */
  enqueued(entry: QueueEntry, settled: boolean): void;
  /** What waited of this key is gone: a newer verdict takes its place. */
  superseded(verdict: Verdict, key: string): void;
  /** A released message is gone: what waits of its key is newer, and stays. */
  outdated(verdict: Verdict, key: string): void;
  /** The queue may hold messages that no event named, or others than were named. */
  rescan(): void;
}
