import type { Action } from './sa-learn-output.ts';

/**
 * Calls that wait to be done together, of any verdict; what is to be forgotten goes by itself. They
 * gather while a batch is under way, and then for as long as others come: whoever does them has begun by
 * then, and waits for them.
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
   * Does a batch and never rejects; one at a time.
   * @returns what came of each call; `undefined` of those that it didn't come to, which go again
   */
  readonly perform: (batch: Batch) => Promise<readonly (Result | undefined)[]>;
}

/** Calls that still gather. */
export interface Batch {
  /** All of them are to be forgotten; or none is. */
  readonly forgets: boolean;
  /** All of them, what is spam first, once they are together. Never rejects. */
  readonly calls: Promise<readonly Call[]>;
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
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const forgets = first.call.action === 'forget';
      const gathered = this.#gather(forgets);
      const calls = gathered.then((batch) => batch.map(({ call }) => call));
      const results = await this.#perform({ forgets, calls });
      for (const [index, each] of (await gathered).entries()) {
        const result = results[index];
        if (result === undefined) this.#waiting.push(each);
        else each.resolve(result);
      }
    }
    this.#isWorking = false;
  }

  /** Takes those that wait and are of this kind, when no more of them come. */
  async #gather(forgets: boolean): Promise<readonly Waiting<Result>[]> {
    let seen = 0;
    for (let ms = 0; seen < this.#waiting.length && ms < LONGEST_GATHER_MS; ms += GATHER_MS) {
      seen = this.#waiting.length;
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    }
    const taken: Waiting<Result>[] = [];
    const left: Waiting<Result>[] = [];
    let bytes = 0;
    for (const each of this.#waiting) {
      const isLike = forgets === (each.call.action === 'forget');
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
