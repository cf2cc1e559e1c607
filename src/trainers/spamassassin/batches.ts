import type { Action } from './sa-learn-output.ts';

/**
 * Calls that wait to be done together, of any verdict; what is to be forgotten goes by itself. They
 * gather while a batch is under way, and where none is for as long as others come.
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
  /**
   * Does a batch, what is spam first, and never rejects; one at a time.
   * @returns what came of each call; `undefined` of those that it didn't come to, which go again
   */
  readonly perform: (calls: readonly Call[]) => Promise<readonly (Result | undefined)[]>;
}

/** About as much takes a second, and room on the disk. */
const MOST_BYTES = 10_000_000;
/** Messages of one moment come one after the other, as they are read; a run takes a second. */
const GATHER_MS = 100;
const LONGEST_GATHER_MS = 1_000;

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
      await this.#gather();
      const batch = this.#take();
      const results = await this.#perform(batch.map(({ call }) => call));
      for (const [index, each] of batch.entries()) {
        const result = results[index];
        if (result === undefined) this.#waiting.push(each);
        else each.resolve(result);
      }
    }
    this.#isWorking = false;
  }

  async #gather(): Promise<void> {
    let seen = 0;
    for (let ms = 0; seen < this.#waiting.length && ms < LONGEST_GATHER_MS; ms += GATHER_MS) {
      seen = this.#waiting.length;
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    }
  }

  /** Those like the one that has waited longest. */
  #take() {
    const isForgotten = ({ call }: Waiting<Result>): boolean => call.action === 'forget';
    const [first] = this.#waiting;
    const taken: Waiting<Result>[] = [];
    const left: Waiting<Result>[] = [];
    let bytes = 0;
    for (const each of this.#waiting) {
      const isLike = first !== undefined && isForgotten(each) === isForgotten(first);
      const { length } = each.call.body;
      // One that is larger goes alone.
      const hasRoom = taken.length === 0 || bytes + length <= MOST_BYTES;
      if (isLike && hasRoom) bytes += length;
      (isLike && hasRoom ? taken : left).push(each);
    }
    this.#waiting = left;
    const rank = ({ call }: Waiting<Result>): number => Number(call.action !== 'spam');
    return taken.sort((a, b) => rank(a) - rank(b));
  }
}
