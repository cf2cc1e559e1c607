import { sleep } from '../../../src/clock.ts';
import type { Clock } from '../../../src/clock.ts';
import { Tenure } from '../../../src/commands/tenure.ts';
import type { Config } from '../../../src/config.ts';
import { Bugs } from '../../../src/bugs.ts';
import { Controller } from '../../../src/learning/controller.ts';
import { Lanes } from '../../../src/learning/lanes.ts';
import { MessageLog } from '../../../src/learning/message-log.ts';
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
  readonly messages: MessageLog;
  tenure: Tenure | undefined;
  /** It has stopped, and its process has ended. */
  isOver = false;
  readonly #options: DaemonOptions;
  readonly #controllers: readonly Controller[];
  readonly #lanes: Lanes;
  readonly #bugs: Bugs;
  readonly #stop = new AbortController();

  constructor(options: DaemonOptions) {
    const { process, clock, random, log, trainers } = options;
    this.#options = options;
    this.process = process;
    this.messages = new MessageLog(log, clock);
    this.#bugs = new Bugs({ clock, log });
    this.#lanes = new Lanes(() => clock.monotonic());
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
      const tenure = new Tenure({
        config,
        clock,
        random,
        log,
        bugs: this.#bugs,
        stateDir,
        controllers: this.#controllers,
        lanes: this.#lanes,
        messages: this.messages,
      });
      if (await tenure.prepare(this.#stop.signal)) {
        this.tenure = tenure;
        await tenure.run(this.#stop.signal);
      }
      this.tenure = undefined;
      await tenure.stop();
    } finally {
      ownership?.release();
      stateDir.close();
    }
  }
}
