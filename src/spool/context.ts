import type { Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import type { Log, LogThrottle } from '../logger.ts';
import type { DiskFaults } from './disk-faults.ts';
import type { DropDirectory } from './drop-directory.ts';
import type { Folder } from './folder.ts';
import type { Gate } from './gate.ts';
import type { MessageLocks } from './message-locks.ts';
import type { SpoolEvents } from './message.ts';
import type { Quarantine } from './quarantine.ts';
import type { Queue } from './queue.ts';
import type { StuckFiles } from './stuck-files.ts';

/** What the parts of the spool share that move messages into the queue. */
export interface SpoolContext {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  /** Queue, quarantine and release of classes that aren't set any more. */
  readonly former: readonly Folder[];
  /** Where copies from another file system are made. */
  readonly temporary: Folder;
  readonly gate: Gate;
  readonly stuck: StuckFiles;
  readonly locks: MessageLocks;
  readonly events: SpoolEvents;
  readonly faults: DiskFaults;
  readonly bugs: Bugs;
  readonly clock: Clock;
  readonly log: Log;
  readonly throttle: LogThrottle;
  readonly settleMs: number;
  readonly sweepMs: number;
  readonly polling: boolean;
  readonly maxBytes: number;
  /** Something is due that was not. */
  readonly onDue: () => void;
}
