import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { EXIT, OperatorError, codeOf } from '../../errors.ts';
import type { SpamdAddress } from '../../spamd-address.ts';
import type { Verdict } from '../../verdict.ts';
import { presentableOutcome } from '../reason.ts';
import type { Example, Outcome, Trainer } from '../trainer.ts';
import type { Blameless, Failure } from './answers.ts';
import { Batches } from './batches.ts';
import type { Call } from './batches.ts';
import { MAKE_IT_REMEMBER, SharedDiagnosis, tryCanaries } from './canary.ts';
import type { Diagnosis } from './canary.ts';
import { identityOf } from './identity.ts';
import {
  AS_ANOTHER,
  certainFault,
  classifyFault,
  inWords,
  isLocked,
  lockedFor,
  rootFault,
} from './sa-learn-faults.ts';
import type { Effect } from './sa-learn-output.ts';
import { SaLearn } from './sa-learn-run.ts';
import type { Batch, RunFault, RunResult, SaLearnOptions, Task } from './sa-learn-run.ts';
import { teachInPlace } from './taught.ts';
import type { Taught } from './taught.ts';

/**
 * `sa-learn` as a trainer, where there is no spamd. A start costs a second of CPU, so what is to be
 * learned or proven at the same time is one run's; its next call is a message's proof, as with spamd.
 * - A run counts by what it says of each message, and never by its exit code alone.
 * - A run that fails is followed by a canary. Where that works, the fault is a message's: the run is
 *   split until that one is alone. Where it doesn't, no message is charged.
 * - Root teaches nothing.
 */
export interface SaLearnTrainerOptions extends Omit<SaLearnOptions, 'program'> {
  readonly address: Pick<SpamdAddress, 'name' | 'program'>;
  /** Larger messages are refused. */
  readonly maxBytes: number;
  /** What was taught under each key, if that is kept. */
  readonly taught?: Taught | undefined;
  /** Whom this process runs as. @defaultValue the effective user */
  readonly uid?: number | undefined;
}

export class SaLearnTrainer implements Trainer {
  readonly filter = 'spamassassin';
  readonly name: string;
  readonly memoryCure = MAKE_IT_REMEMBER;
  readonly identityOf = identityOf;
  readonly teachesInBatches = true;
  /** Calls that wait at a time: about as many messages are learned before a run has to end. */
  readonly concurrency = 400;
  /** The lock of Bayes is waited for so long. */
  readonly longestPostMs = 620_000;
  readonly #options: SaLearnTrainerOptions;
  readonly #program: string;
  readonly #saLearn: SaLearn;
  readonly #batches: Batches<Effect | Failure>;
  /** The verdict that each buffer was last learned with, or known. */
  readonly #learned = new WeakMap<Buffer, Verdict>();
  readonly #diagnosis: SharedDiagnosis;
  /** It learned a message twice: perhaps it stores nothing. */
  #isDoubted = false;
  /** Runs that waited for the lock in vain since a canary came through. */
  #locks = 0;
  /** Settles when neither a batch nor a canary is under way. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SaLearnTrainerOptions) {
    this.name = options.address.name;
    this.#options = options;
    this.#program = options.address.program ?? '';
    this.#saLearn = new SaLearn({ ...options, program: this.#program });
    this.#batches = new Batches((batch) => this.#inTurn(() => this.#perform(batch)));
    this.#diagnosis = new SharedDiagnosis((signal) =>
      this.#inTurn(() => this.#tryCanaries(signal)),
    );
  }

  async learn(example: Example, signal: AbortSignal): Promise<Outcome> {
    return presentableOutcome(await this.#teach(example, signal), example.body);
  }

  /** Whether it can be started; more shows only a message, or a canary. */
  async obstacle(): Promise<string | undefined> {
    if (this.#isRoot) return rootFault(this.#program).reason;
    try {
      await access(this.#program, constants.X_OK);
      return undefined;
    } catch (error) {
      return `${this.#program} can't be started (${codeOf(error) ?? 'UNKNOWN'})`;
    }
  }

  /**
   * Finds out by a canary whether it learns, remembers and forgets. `learn` does the same after a run
   * that failed, and where it was seen to learn a message twice. Never rejects.
   */
  async diagnose(signal: AbortSignal): Promise<Diagnosis> {
    if (this.#isRoot) return rootFault(this.#program);
    const diagnosis = await this.#diagnosis.ask(signal);
    if (diagnosis.kind === 'works') this.#isDoubted = false;
    return diagnosis;
  }

  get #isRoot(): boolean {
    return (this.#options.uid ?? process.geteuid?.()) === 0;
  }

  // --- a message

  async #teach(example: Example, signal: AbortSignal): Promise<Outcome> {
    const { body, verdict } = example;
    const { maxBytes, taught } = this.#options;
    if (this.#isRoot) return rootFault(this.#program);
    if (body.length > maxBytes) {
      return { kind: 'refused', reason: `larger than SPAMD_MAX_BYTES (${maxBytes})` };
    }
    if (this.#isDoubted) {
      const diagnosis = await this.diagnose(signal);
      if (diagnosis.kind !== 'works') return diagnosis;
    }
    const teach = (): Promise<Outcome> => this.#learn(example, signal);
    if (this.#learned.get(body) === verdict) return teach();
    const forget = async (earlier: Buffer): Promise<Failure | undefined> => {
      const effect = await this.#batches.add({ action: 'forget', body: earlier, signal });
      return typeof effect === 'string' ? undefined : effect;
    };
    return teachInPlace(example, taught, { forget, teach });
  }

  async #learn({ body, verdict }: Example, signal: AbortSignal): Promise<Outcome> {
    const wasLearned = this.#learned.get(body) === verdict;
    const action = verdict === 'spam' ? 'spam' : 'ham';
    const effect = await this.#batches.add({ action, body, signal });
    if (typeof effect !== 'string') return effect;
    this.#learned.set(body, verdict);
    if (effect === 'unchanged') return { kind: 'duplicate' };
    // The next one waits for a canary.
    if (wasLearned) this.#isDoubted = true;
    return { kind: 'learned' };
  }

  // --- a batch

  /** One after the other, so that no canary meets another one. */
  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(act);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** @param isMessages whether a failure of this list was shown not to be the installation's */
  async #perform(
    { forgets, tasks }: Batch<Call>,
    isMessages = false,
  ): Promise<readonly (Effect | Failure | undefined)[]> {
    const result = await this.#run({ forgets, tasks });
    const calls = await tasks;
    if (result.kind === 'done') {
      this.#locks = 0;
      return calls.map((_, index) => result.effects[index]);
    }
    const all = (failure: Failure) => calls.map(() => failure);
    if (result.kind === 'aborted') return all(result);
    const isAlone = calls.length === 1;
    const { signal } = calls[0] ?? { signal: AbortSignal.abort() };
    // Who is alone is charged: it must not be that all has broken meanwhile.
    const blame = await this.#blame(result, signal, isMessages && !isAlone);
    if (blame !== undefined) return all(blame);
    if (isAlone) return all({ kind: 'deferred', reason: inWords(result), answered: true });
    const outcomes: (Effect | Failure | undefined)[] = [];
    for (const part of split(calls, result.at)) {
      // What has broken meanwhile is broken for the others, too.
      const stopped = outcomes.find(isEverybodys);
      const some = { forgets, tasks: Promise.resolve(part) };
      outcomes.push(...(stopped ? part.map(() => stopped) : await this.#perform(some, true)));
    }
    return outcomes;
  }

  /** Runs a batch until it is over, or everybody has given it up. */
  async #run(batch: Batch<Call>): Promise<RunResult> {
    const given = new AbortController();
    const over = new AbortController();
    void batch.tasks.then((calls) => {
      const signals = new Set(calls.map(({ signal }) => signal));
      const look = (): void => {
        if ([...signals].every(({ aborted }) => aborted)) given.abort();
      };
      for (const signal of signals) signal.addEventListener('abort', look, { signal: over.signal });
      look();
    });
    const result = await this.#saLearn.run(batch, given.signal);
    over.abort();
    return result;
  }

  /**
   * Why it fails for everybody; `undefined` where that is not so.
   * @param wasTried a canary has just worked
   */
  async #blame(
    fault: RunFault,
    signal: AbortSignal,
    wasTried: boolean,
  ): Promise<Blameless | undefined> {
    const known = certainFault(fault, this.#program);
    if (known !== undefined) return known;
    if (isLocked(fault)) return lockedFor((this.#locks += 1));
    if (wasTried) return undefined;
    const diagnosis = await this.#tryCanaries(signal);
    return diagnosis.kind === 'works' ? undefined : diagnosis;
  }

  // --- sa-learn itself

  #tryCanaries(signal: AbortSignal): Promise<Diagnosis> {
    return tryCanaries((canary) => this.#tryCanary(canary, signal));
  }

  /** Three runs: that which forgets it can't say twice that it did, unless nothing is stored. */
  async #tryCanary(body: Buffer, signal: AbortSignal): Promise<readonly boolean[] | Blameless> {
    const changed: boolean[] = [];
    const learn: Task = { action: 'ham', body };
    const forget: Task = { action: 'forget', body };
    for (const tasks of [[learn], [learn], [forget, forget]]) {
      const forgets = tasks.includes(forget);
      const result = await this.#saLearn.run({ forgets, tasks: Promise.resolve(tasks) }, signal);
      if (result.kind === 'aborted') return result;
      if (result.kind === 'fault') {
        if (isLocked(result)) return lockedFor((this.#locks += 1));
        return classifyFault(result, this.#program);
      }
      this.#locks = 0;
      changed.push(...result.effects.map((effect) => effect === 'changed'));
    }
    return changed;
  }
}

/**
 * At the start of what teaches.
 * @throws {OperatorError} `sa-learn.root`, exit 78, where root would run `sa-learn`
 */
export function refuseRoot(
  { trainers, spamd }: Pick<Config, 'trainers' | 'spamd'>,
  uid = process.geteuid?.(),
): void {
  const { program } = spamd.address;
  if (uid !== 0 || program === undefined || !trainers.includes('spamassassin')) return;
  throw new OperatorError({
    code: 'sa-learn.root',
    message: rootFault(program).reason,
    hint: 'run this as the user whose Bayes the filter reads, such as',
    command: `${AS_ANOTHER} kopano-learnd watch`,
    exitCode: EXIT.configuration,
  });
}

/** The message at which a run ended, and those around it; or the halves. */
function split(calls: readonly Call[], at: number | undefined): (readonly Call[])[] {
  const half = Math.ceil(calls.length / 2);
  const parts =
    at === undefined
      ? [calls.slice(0, half), calls.slice(half)]
      : [calls.slice(0, at), calls.slice(at, at + 1), calls.slice(at + 1)];
  return parts.filter(({ length }) => length > 0);
}

function isEverybodys(outcome: Effect | Failure | undefined): outcome is Blameless {
  return typeof outcome === 'object' && outcome.kind !== 'deferred';
}
