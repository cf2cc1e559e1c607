import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import type { Controller } from '../delivery/controller.ts';
import { errnoOf } from '../errors.ts';
import type { StateDir } from '../spool/state-dir.ts';
import { probe } from '../status/probe.ts';
import type { Probe } from '../status/probe.ts';
import { knownOf } from '../trainers/trainer.ts';

/**
 * How many messages each controller says that it has learned. It is asked once messages have shown that
 * the password is right. The last figures are kept in the state dir: a Redis that came up empty after a
 * reboot is noticed by them, also while no message comes. They are a memory aid: a file that can't be
 * read is no figure, and what is damaged in it is replaced.
 */
export const FIGURES_FILE = 'learned.json';

type Figures = Readonly<Record<string, number>>;

/** Between two questions to a controller that has shown nothing since the start. */
const ASK_MS = 20_000;
/** So long its answers must go on until the old figure is found right or missed (learn-counts.ts). */
const JUDGED_MS = 180_000;
const SAVE_MS = 60_000;

export class LearnedFigures {
  readonly #stateDir: StateDir;
  readonly #controllers: readonly Controller[];
  readonly #clock: Clock;
  /** Learns that each controller has acknowledged. */
  readonly #learns = new Map<Controller, number>();
  /** Controllers whose old figure is still to be judged: when to ask next, and the first answer. */
  readonly #open = new Map<Controller, { askAt: number; since: number | undefined }>();
  readonly #sums = new Map<string, number>();
  #savedAt = -Infinity;
  #isChanged = false;

  constructor(stateDir: StateDir, controllers: readonly Controller[], clock: Clock) {
    this.#stateDir = stateDir;
    this.#controllers = controllers;
    this.#clock = clock;
    const figures = readFigures(stateDir);
    for (const controller of controllers) {
      const sum = figures[controller.name];
      if (sum === undefined) continue;
      this.#sums.set(controller.name, sum);
      this.#open.set(controller, { askAt: clock.monotonic(), since: undefined });
      controller.recall(sum);
    }
  }

  /**
   * Asks the controllers, and keeps their figures.
   * @param onWaitOver is called when the wait of any message is over
   * @throws the system's error
   */
  async look(signal: AbortSignal, onWaitOver: () => void): Promise<void> {
    for (const controller of this.#controllers) {
      if (!this.#isToBeAsked(controller)) continue;
      const seen = await probe(controller.trainer, this.#clock, signal);
      this.#note(controller, seen);
      if (seen.kind !== 'answers') continue;
      this.#learns.set(controller, seen.statistics.learns ?? controller.learns);
      const learns = [...this.#learns.values()].reduce((sum, each) => sum + each, 0);
      if (controller.observe(seen.statistics, learns)) onWaitOver();
    }
    this.#save();
  }

  #isToBeAsked(controller: Controller): boolean {
    if (controller.trainer.statistics === undefined || !controller.lacksOnlyProof) return false;
    // Its last answers show that the password is right: a wrong one must not be repeated.
    const isKnown = controller.state !== 'starting' || controller.learns > 0;
    return isKnown || this.#clock.monotonic() >= (this.#open.get(controller)?.askAt ?? Infinity);
  }

  #note(controller: Controller, seen: Probe): void {
    const now = this.#clock.monotonic();
    const open = this.#open.get(controller);
    // A refused password must not be repeated.
    if (seen.kind === 'closed') this.#open.delete(controller);
    else if (open !== undefined) {
      open.askAt = now + ASK_MS;
      if (seen.kind === 'answers') open.since ??= now;
      if (now - (open.since ?? now) >= JUDGED_MS) this.#open.delete(controller);
    }
    if (seen.kind !== 'answers') return;
    const { learned } = seen.statistics;
    if (learned.spam === undefined || learned.ham === undefined) return;
    const sum = Object.values(knownOf(learned)).reduce((total, count) => total + count, 0);
    const before = this.#sums.get(controller.name) ?? 0;
    // A lower figure before it was judged would take the loss for granted.
    if (sum === before || (this.#open.has(controller) && sum < before)) return;
    this.#sums.set(controller.name, sum);
    this.#isChanged = true;
  }

  /** Writes what has changed, once a minute at most. */
  #save(): void {
    const now = this.#clock.monotonic();
    if (!this.#isChanged || now - this.#savedAt < SAVE_MS) return;
    const fresh = this.#stateDir.temporary.at(`.${FIGURES_FILE}`);
    writeFileSync(fresh, `${JSON.stringify(Object.fromEntries(this.#sums))}\n`, { mode: 0o600 });
    renameSync(fresh, this.#stateDir.root.at(FIGURES_FILE));
    this.#savedAt = now;
    this.#isChanged = false;
  }
}

function readFigures({ root }: StateDir): Figures {
  try {
    const parsed: unknown = JSON.parse(readFileSync(root.at(FIGURES_FILE), 'utf8'));
    const entries = Object.entries(typeof parsed === 'object' && parsed !== null ? parsed : {});
    return Object.fromEntries(
      entries.filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1])),
    );
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof SyntaxError)) throw error;
    return {};
  }
}
