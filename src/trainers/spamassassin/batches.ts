import type { Action } from './sa-learn-output.ts';

/**
 * Calls that wait to be done together. They gather while a batch is under way, and for a moment where
 * none is. A batch has one action; within one the calls keep their order.
 */

export interface Call {
  readonly action: Action;
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

interface Waiting<Result> {
  readonly call: Call;
  readonly resolve: (result: Result) => void;
}

export interface BatchesOptions<Result> {
  /** Does a batch, and never rejects; one at a time. @returns what came of each call */
  readonly perform: (calls: readonly Call[]) => Promise<readonly Result[]>;
}

/** It holds the lock of Bayes for the whole run, and the filter waits up to ten seconds for it. */
const MOST_CALLS = 100;
/** About as much takes a second. */
const MOST_BYTES = 10_000_000;
/** Messages of one moment come one after the other, as they are read; a run takes a second. */
const GATHER_MS = 50;

export class Batches<Result> {
  readonly #perform: BatchesOptions<Result>['perform'];
  #waiting: Waiting<Result>[] = [];
  #isWorking = false;

  constructor({ perform }: BatchesOptions<Result>) {
    this.#perform = perform;
  }

  add(call: Call): Promise<Result> {
    return new Promise((resolve) => {
      this.#waiting.push({ call, resolve });
      if (!this.#isWorking) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    while (this.#waiting.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
      const batch = this.#take();
      const results = await this.#perform(batch.map(({ call }) => call));
      for (const [index, result] of results.entries()) batch[index]?.resolve(result);
    }
    this.#isWorking = false;
  }

  /** Those like the one that has waited longest. */
  #take() {
    const action = this.#waiting[0]?.call.action;
    const taken: Waiting<Result>[] = [];
    const left: Waiting<Result>[] = [];
    let bytes = 0;
    for (const each of this.#waiting) {
      const { call } = each;
      const isFull = taken.length >= MOST_CALLS || bytes + call.body.length > MOST_BYTES;
      // One that is larger goes alone.
      if (call.action !== action || (isFull && taken.length > 0)) left.push(each);
      else {
        taken.push(each);
        bytes += call.body.length;
      }
    }
    this.#waiting = left;
    return taken;
  }
}
