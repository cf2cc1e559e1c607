import { sleep } from '../../../src/clock.ts';
import type { Clock } from '../../../src/clock.ts';
import { SpoolSession } from '../../../src/daemon/session.ts';
import type { Config } from '../../../src/config.ts';
import { Bugs } from '../../../src/bugs.ts';
import { Affinity } from '../../../src/delivery/affinity.ts';
import { Controller } from '../../../src/delivery/controller.ts';
import { MessageLocks } from '../../../src/spool/message-locks.ts';
import { MessageEvents } from '../../../src/delivery/events.ts';
import type { Log } from '../../../src/logger.ts';
import { acquireOwnership } from '../../../src/spool/owner.ts';
import { openStateDir } from '../../../src/spool/state-dir.ts';
import type { Trainer } from '../../../src/trainers/trainer.ts';
import type { Process } from './machine.ts';

/**
 * One life of the daemon: what `watch` does, on the model's time and with the model's controllers.
 */
export interface DaemonOptions {
  readonly process: Process;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly trainers: readonly Trainer[];
  readonly log: Log;
  /** It owns the spool and is about to look at what lies there. */
  readonly onOwner: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** Longer than the real one: what a standby costs is not what is looked at. */
const RETRY_MS = 7_000;

export class Daemon {
  readonly process: Process;
  readonly messages: MessageEvents;
  session: SpoolSession | undefined;
  /** It has stopped, and its process has ended. */
  isOver = false;
  readonly #options: DaemonOptions;
  readonly #controllers: readonly Controller[];
  readonly #locks = new MessageLocks();
  readonly #affinity: Affinity;
  readonly #bugs: Bugs;
  readonly #stop = new AbortController();

  constructor(options: DaemonOptions) {
    const { process, clock, random, log, trainers } = options;
    this.#options = options;
    this.process = process;
    this.messages = new MessageEvents(log, clock);
    this.#bugs = new Bugs({ clock, log });
    this.#affinity = new Affinity(clock);
    this.#controllers = trainers.map((trainer) => new Controller({ trainer, clock, random, log }));
  }

  /** Lives until it is told to stop. */
  start(): void {
    this.#live().catch((error: unknown) => {
      if (!this.process.isDead) this.#options.onFailure(error);
    });
  }

  stop(): void {
    this.#stop.abort();
  }

  async #live(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#serve();
      await sleep(clock, RETRY_MS, this.#stop.signal);
    }
    this.isOver = true;
  }

  async #serve(): Promise<void> {
    const { config } = this.#options;
    const stateDir = openStateDir({
      path: config.spool.stateDir,
      libDir: config.spool.libDir,
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
    });
    const ownership = await acquireOwnership(stateDir.root);
    try {
      if (ownership === undefined) return;
      this.#options.onOwner();
      const { clock, random, log } = this.#options;
      const session = new SpoolSession({
        config,
        clock,
        random,
        log,
        bugs: this.#bugs,
        stateDir,
        controllers: this.#controllers,
        locks: this.#locks,
        affinity: this.#affinity,
        events: this.messages,
      });
      if (await session.prepare(this.#stop.signal)) {
        this.session = session;
        await session.run(this.#stop.signal);
      }
      this.session = undefined;
      await session.stop();
    } finally {
      ownership?.release();
      stateDir.close();
    }
  }
}
