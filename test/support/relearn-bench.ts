import { onTestFinished } from 'vitest';
import type { Found, Source } from '../../src/relearn/sources/source.ts';
import { BulkRun } from '../../src/relearn/run.ts';
import type { BulkRunOptions, Ending } from '../../src/relearn/run.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import type { Named } from '../../src/relearn/stats.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import { Bench } from './bench.ts';
import { ScriptedTrainer } from './scripted-trainer.ts';
import type { Holder, Rule } from './scripted-trainer.ts';

export type RelearnBenchOptions = Partial<
  Pick<
    BulkRunOptions,
    'concurrency' | 'maxAttempts' | 'proveEvery' | 'limit' | 'waitMs' | 'journal'
  >
> & {
  readonly trainers?: readonly ScriptedTrainer[];
  readonly sources: readonly Source[];
};

/** A bulk run against scripted trainers, on a clock of the test's. */
export class RelearnBench extends Bench {
  readonly failed: Named[] = [];
  readonly stats = new RunStats(VERDICTS, (named) => this.failed.push(named));
  readonly stop = new AbortController();
  ending: Ending | undefined;
  readonly #run: BulkRun;

  constructor(options: RelearnBenchOptions) {
    super(options.trainers ?? [new ScriptedTrainer()]);
    const { stats, controllers, clock, random, log } = this;
    this.#run = new BulkRun({
      ...{ stats, controllers, clock, random, log },
      concurrency: 4,
      maxAttempts: 3,
      proveEvery: 10,
      limit: Infinity,
      waitMs: 300_000,
      shutdownMs: 5_000,
      ...options,
    });
    onTestFinished(() => this.stop.abort());
  }

  /** The messages that were read and have not ended. */
  get left(): readonly string[] {
    return this.#run.left.map(({ place }) => place);
  }

  /** Begins; `ending` tells how it ended. */
  start(): void {
    void this.#run.run(this.stop.signal).then((ending) => {
      this.ending = ending;
    });
  }

  /** Runs to the end. */
  async finish(stepMs = 5): Promise<Ending | undefined> {
    if (this.ending === undefined) {
      await this.clock.flowUntil('it has ended', () => this.ending !== undefined, stepMs);
    }
    return this.ending;
  }

  /** Until a message is posted and held. */
  untilHeld(holder: Holder): Promise<void> {
    return this.until('it is posted', () => holder.names.length === 1, 1);
  }

  until(what: string, isSo: () => boolean, stepMs = 5): Promise<void> {
    return this.clock.flowUntil(what, isSo, stepMs);
  }
}

/** A source that holds made-up messages of these names; the trainer sees the names. */
class TestSource implements Source {
  readonly name = 'made up';
  readonly verdict: Verdict;
  readonly expected = undefined;
  /** Messages that were read. */
  taken = 0;
  readonly #names: Iterable<string>;

  constructor(verdict: Verdict, names: Iterable<string>) {
    this.verdict = verdict;
    this.#names = names;
  }

  async *read(): AsyncGenerator<Found, void, undefined> {
    for (const name of this.#names) {
      await Promise.resolve();
      this.taken += 1;
      const text = `X-Test: ${name}\r\nMessage-ID: <${name}@x>\r\n\r\nBody ${name}\r\n`;
      const rest = name.startsWith('large') ? 17_000_000 : 0;
      yield { kind: 'message', place: name, body: Buffer.from(text.padEnd(rest)) };
    }
  }

  count(): Promise<void> {
    return Promise.resolve();
  }
}

export function sourceOf(verdict: Verdict, names: Iterable<string>): TestSource {
  return new TestSource(verdict, names);
}

export function namesOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** A run that has begun, and whose first trainer plays these rules. */
export function begin(
  sources: readonly Source[],
  options: Omit<RelearnBenchOptions, 'sources'> = {},
  ...rules: readonly Rule[]
): RelearnBench {
  const bench = new RelearnBench({ ...options, sources });
  bench.trainer.plays(...rules);
  bench.start();
  return bench;
}
