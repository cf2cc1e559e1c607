import { setTimeout as sleep } from 'node:timers/promises';
import type { Batch, Task } from './sa-learn-run.ts';

/**
 * Calls that wait to be done together, of any verdict; what is to be forgotten goes by itself. They
 * gather while a batch is under way, and then for as long as others come: whoever does them has begun by
 * then, and waits for them.
 */

export interface Call extends Task {
  readonly signal: AbortSignal;
}

/**
 * Does a batch and never rejects; one at a time.
 * @returns what came of each call; `undefined` of those that it didn't come to, which go again
 */
type Perform<Result> = (batch: Batch<Call>) => Promise<readonly (Result | undefined)[]>;

interface Waiting<Result> {
  readonly call: Call;
  readonly resolve: (result: Result) => void;
}

/** About as much takes a second, and room on the disk. */
const MOST_BYTES = 10_000_000;
/** Messages of one moment come one after the other, as they are read; a run takes a second. */
const GATHER_MS = 100;
const LONGEST_GATHER_MS = 1_000;

export class Batches<Result> {
  readonly #perform: Perform<Result>;
  #waiting: Waiting<Result>[] = [];
  #isWorking = false;

  constructor(perform: Perform<Result>) {
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
      const tasks = gathered.then((taken) => taken.map(({ call }) => call));
      const results = await this.#perform({ forgets, tasks });
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
      await sleep(GATHER_MS);
    }
    const taken: Waiting<Result>[] = [];
    const left: Waiting<Result>[] = [];
    let bytes = 0;
    for (const each of this.#waiting) {
      const { action, body } = each.call;
      // One that is larger goes alone.
      const hasRoom = taken.length === 0 || bytes + body.length <= MOST_BYTES;
      const isTaken = forgets === (action === 'forget') && hasRoom;
      if (isTaken) bytes += body.length;
      (isTaken ? taken : left).push(each);
    }
    this.#waiting = left;
    const isLater = ({ call }: Waiting<Result>): number => Number(call.action !== 'spam');
    return taken.sort((a, b) => isLater(a) - isLater(b));
  }
}
