import { onTestFinished } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { loadConfig } from '../../src/config.ts';
import type { Config } from '../../src/config.ts';
import { createLearners } from '../../src/daemon/learners.ts';
import { SessionTaught } from '../../src/daemon/session-taught.ts';
import { SpoolSession } from '../../src/daemon/session.ts';
import type { Controller } from '../../src/delivery/controller.ts';
import type { Learner } from '../../src/delivery/store.ts';
import { teachAgain } from '../../src/spool/archive.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import { History } from '../../src/status/history.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { TestSpool } from '../support/test-spool.ts';

export interface SessionBenchOptions {
  /** @defaultValue one of rspamd that learns */
  readonly trainers?: readonly ScriptedTrainer[];
  readonly settings?: Readonly<Record<string, string>>;
  /** @defaultValue a new one */
  readonly spool?: TestSpool;
}

/** A daemon's sessions on a real spool, with scripted trainers and a clock of the test's. */
export class SessionBench {
  readonly clock = new ManualClock();
  readonly recorder = new LogRecorder();
  readonly spool: TestSpool;
  readonly taught = new SessionTaught();
  /** Ends the session that was made last. */
  stop = new AbortController();
  readonly #config: Config;
  readonly #learners: readonly Learner[];
  readonly #random = (): number => 0.5;
  #history: History | undefined;
  #run: Promise<void> | undefined;

  constructor(options: SessionBenchOptions = {}) {
    const { trainers = [new ScriptedTrainer()], settings, spool = new TestSpool() } = options;
    this.spool = spool;
    this.#config = loadConfig({ KOPANO_SPAMD_LIB: spool.lib, LEARN_POLLING: 'yes', ...settings });
    this.#learners = createLearners({
      config: this.#config,
      trainers,
      clock: this.clock,
      random: this.#random,
      log: this.recorder.log,
      teachAgain: () => teachAgain(spool.stateDir.root.path),
      onEnded: (filter) => (ended) => this.#history?.ended(filter, ended),
    });
    onTestFinished(() => this.end());
  }

  get controllers(): readonly Controller[] {
    return this.#learners.flatMap(({ controllers }) => controllers);
  }

  /** Makes a session, which follows an earlier one. */
  make(): SpoolSession {
    const { clock, recorder, spool, taught } = this;
    const { log } = recorder;
    const { stateDir } = spool;
    this.stop = new AbortController();
    this.#history = new History({ stateDir, clock, log });
    return new SpoolSession({
      config: this.#config,
      clock,
      random: this.#random,
      log,
      bugs: new Bugs({ clock, log }),
      stateDir,
      learners: this.#learners,
      locks: new MessageLocks(),
      taught,
      fuzzyLists: new SessionTaught(),
      history: this.#history,
      stop: this.stop.signal,
    });
  }

  /** Begins a session: a daemon's start or restart. */
  async begin(): Promise<void> {
    const session = this.make();
    await session.prepare();
    this.#run = session.run();
  }

  /** Ends the session, if one has begun. Idempotent. */
  async end(): Promise<void> {
    let isOver = this.#run === undefined;
    void this.#run?.then(() => {
      isOver = true;
    });
    this.stop.abort();
    await this.clock.flowUntil('it is over', () => isOver);
    await this.#run;
    this.#run = undefined;
  }
}
