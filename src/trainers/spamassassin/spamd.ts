import { systemClock } from '../../clock.ts';
import type { Clock } from '../../clock.ts';
import { presentableOutcome } from '../reason.ts';
import type { Example, Outcome, Trainer } from '../trainer.ts';
import type { Verdict } from '../../verdict.ts';
import {
  NOT_ALLOWED,
  blameless,
  cannotWrite,
  classify,
  misconfigured,
  unavailable,
} from './answers.ts';
import type { Blameless, Failure } from './answers.ts';
import { MAKE_IT_REMEMBER, SharedDiagnosis, tryCanaries } from './canary.ts';
import type { Diagnosis } from './canary.ts';
import { identityOf } from './identity.ts';
import { LockWatch, isSlow } from './lock-watch.ts';
import { OwedAnswers } from './owed-answers.ts';
import type { Reports } from './reports.ts';
import { isUnanswered, teachInPlace } from './taught.ts';
import type { Taught, TaughtMessage } from './taught.ts';
import { SpamdClient } from './tell.ts';
import type { SpamdClientOptions, TellResult, Telling } from './tell.ts';

/**
 * One spamd as a trainer. spamd says `EX_OK` without `DidSet` of a message that it knows and of one
 * that it couldn't learn at all; so that answer alone is never a proof here:
 * - After this very buffer was `DidSet`, with nothing in between, it is: it was learned and is known
 *   now.
 * - Otherwise the message must be forgotten (`DidRemove`) and learned again, and known then.
 * - If it can't be forgotten either, a canary tells whether it is the message's own or Bayes'.
 */
export interface SpamdTrainerOptions extends SpamdClientOptions {
  /** Larger messages are refused: one of 60 MB costs a child of spamd 0.9 GB, which it keeps. */
  readonly maxBytes: number;
  /** What was taught under each key, if that is kept. */
  readonly taught?: Taught | undefined;
  /** Gets what users call spam and what they take back, where that is reported. */
  readonly reports?: Pick<Reports, 'add'> | undefined;
  /** @defaultValue the system's */
  readonly clock?: Clock;
}

const NOTHING = Buffer.alloc(0);
/** A question without a message is answered in some milliseconds, unless it waits for a child. */
const BUSY_MS = 1_000;

const BUSY = unavailable('all its children are busy', 'answered');
const LOCKED = unavailable('its Bayes is locked: it waited for the lock in vain', 'answered');
const LOCKED_FOR_EVER = misconfigured(
  'its Bayes has been locked for eleven minutes',
  'look into bayes.lock beside bayes_toks (in ~/.spamassassin of SPAMD_USER, or as bayes_path says): it names host and process id of who holds it; remove that file if there is no such process any more, and let no sa-learn run all the time',
);
const CONTRADICTION: Failure = {
  kind: 'deferred',
  reason: 'it forgot the message and did not learn it again',
  answered: true,
};
const NOTHING_TO_LEARN: Outcome = {
  kind: 'refused',
  reason:
    'it learns nothing from this message, and learns others: bayes_ignore_from or bayes_ignore_to names its sender or recipient',
};
/** TELLs in one post: what was known is forgotten first, with a canary. */
const TELLS = 10;
/** So many times as long as we wait spamd may take for a TELL: more than `--timeout-child`, 300 s. */
const LONGEST_TELL = 11;

export class SpamdTrainer implements Trainer {
  readonly filter = 'spamassassin';
  readonly name: string;
  readonly memoryCure = MAKE_IT_REMEMBER;
  readonly identityOf = identityOf;
  /** More bring nothing, and cost latency (30 a second with one, 22 with four). */
  readonly concurrency = 1;
  readonly longestPostMs: number;
  readonly #options: SpamdTrainerOptions;
  readonly #client: SpamdClient;
  readonly #clock: Clock;
  readonly #lock = new LockWatch();
  readonly #owed: OwedAnswers;
  /** The verdict that each buffer was last `DidSet` with: good for one proof, if nothing fails first. */
  #didSet = new WeakMap<Buffer, Verdict>();
  /** What was taught as spam before it was turned, by the buffer that was taught as ham. */
  readonly #spamBefore = new WeakMap<Buffer, Buffer>();
  /** It was seen to learn, and nothing has failed since. */
  #works = false;
  readonly #diagnosis = new SharedDiagnosis((signal) => this.#diagnose(signal));

  constructor(options: SpamdTrainerOptions) {
    this.name = options.address.name;
    this.longestPostMs = TELLS * options.timeoutMs;
    this.#options = options;
    this.#client = new SpamdClient(options);
    this.#clock = options.clock ?? systemClock;
    this.#owed = new OwedAnswers(this.#clock, LONGEST_TELL * options.timeoutMs);
  }

  async learn(example: Example, signal: AbortSignal): Promise<Outcome> {
    const outcome = await this.#teach(example, signal);
    if (outcome.kind === 'duplicate') this.#didSet.delete(example.body);
    if (isFailure(outcome)) {
      this.#works = false;
      this.#didSet = new WeakMap();
    }
    // After `learned` it is told once more, as a proof.
    const isOver = outcome.kind !== 'learned' && !isUnanswered(outcome);
    if (isOver && this.#owed.settle(example.key)) this.#options.taught?.settle(example.key);
    return presentableOutcome(outcome, example.body);
  }

  /** Asks whether TELL is allowed: only a message, or a canary, shows more. */
  async obstacle(signal: AbortSignal): Promise<string | undefined> {
    const failure = await this.#probe(signal);
    return failure !== undefined && 'reason' in failure ? failure.reason : undefined;
  }

  /**
   * Finds out whether it can learn, by a question without a message and by a canary. Before the first
   * message and after each failure `learn` does the same; several at a time share one. Never rejects.
   */
  async diagnose(signal: AbortSignal): Promise<Diagnosis> {
    const diagnosis = await this.#diagnosis.ask(signal);
    this.#works = diagnosis.kind === 'works';
    return diagnosis;
  }

  // --- a message

  async #teach(example: Example, signal: AbortSignal): Promise<Outcome> {
    const { key, body, verdict } = example;
    const { maxBytes, taught } = this.#options;
    if (body.length > maxBytes) {
      return { kind: 'refused', reason: `larger than SPAMD_MAX_BYTES (${maxBytes})` };
    }
    const owed = this.#owed.toOtherThan(key, verdict);
    if (owed !== undefined) return owed;
    const wasSet = this.#didSet.get(body) === verdict;
    if (!this.#works) {
      const diagnosis = await this.diagnose(signal);
      if (diagnosis.kind !== 'works') return diagnosis;
    }
    if (wasSet) return this.#prove(example, signal);
    const forget = async (earlier: Buffer): Promise<Failure | undefined> => {
      const did = await this.#ask({ remove: 'local', body: earlier }, signal, key);
      return typeof did === 'boolean' ? undefined : did;
    };
    const teach = (earlier: TaughtMessage | undefined): Promise<Outcome> => {
      if (earlier?.verdict === 'spam' && verdict === 'ham') {
        this.#spamBefore.set(body, earlier.body);
      }
      return this.#learn(example, signal);
    };
    const obstacle = (earlier: TaughtMessage | undefined): Outcome | undefined =>
      this.#owed.ofAnotherProcess(key, earlier);
    return teachInPlace(example, taught, { forget, obstacle, teach });
  }

  /** It was `DidSet`, with nothing in between. */
  async #prove(example: Example, signal: AbortSignal): Promise<Outcome> {
    const did = await this.#set(example, signal);
    if (typeof did !== 'boolean') return did;
    if (did) {
      // Perhaps it isn't stored. The next one waits for a canary.
      this.#works = false;
      return { kind: 'learned' };
    }
    this.#report(example);
    return { kind: 'duplicate' };
  }

  async #learn(example: Example, signal: AbortSignal): Promise<Outcome> {
    const did = await this.#set(example, signal);
    if (typeof did !== 'boolean') return did;
    return did ? { kind: 'learned' } : this.#relearn(example, signal);
  }

  /** A message was just proven to be learned; what was known before isn't reported. */
  #report({ key, verdict, body }: Example): void {
    const { reports } = this.#options;
    const before = this.#spamBefore.get(body);
    if (verdict === 'spam') reports?.add({ kind: 'spam', key, body });
    else if (before !== undefined) reports?.add({ kind: 'revoke', key, body: before });
  }

  async #set({ key, verdict, body }: Example, signal: AbortSignal): Promise<boolean | Failure> {
    const did = await this.#ask({ set: 'local', verdict, body }, signal, key);
    if (did === true) this.#didSet.set(body, verdict);
    return did;
  }

  /** Neither learned now nor known to be known. */
  async #relearn(example: Example, signal: AbortSignal): Promise<Outcome> {
    const { key, body } = example;
    const removed = await this.#ask({ remove: 'local', body }, signal, key);
    if (typeof removed !== 'boolean') return removed;
    let did = removed ? await this.#set(example, signal) : false;
    if (typeof did !== 'boolean') return did;
    if (!did) {
      const diagnosis = await this.diagnose(signal);
      if (diagnosis.kind !== 'works') return diagnosis;
      if (removed) return CONTRADICTION;
      // Bayes may have come back only now.
      did = await this.#set(example, signal);
      if (typeof did !== 'boolean') return did;
      return did ? { kind: 'learned' } : NOTHING_TO_LEARN;
    }
    const again = await this.#set(example, signal);
    if (typeof again !== 'boolean') return again;
    if (!again) return { kind: 'duplicate' };
    this.#works = false;
    return { kind: 'learned' };
  }

  // --- spamd itself

  async #diagnose(signal: AbortSignal): Promise<Diagnosis> {
    const failure = await this.#probe(signal);
    if (failure !== undefined) return failure;
    const tell = (canary: Buffer) => this.#tellCanary(canary, signal);
    return tryCanaries(tell, cannotWrite(this.#options.user));
  }

  async #tellCanary(body: Buffer, signal: AbortSignal): Promise<readonly boolean[] | Failure> {
    const set = { set: 'local', verdict: 'ham', body } as const;
    const remove = { remove: 'local', body } as const;
    const answers: boolean[] = [];
    for (const telling of [set, set, remove, remove]) {
      const did = await this.#ask(telling, signal);
      if (typeof did !== 'boolean') return did;
      answers.push(did);
    }
    return answers;
  }

  /** Asks without a message whether TELL is allowed. @returns why not */
  async #probe(signal: AbortSignal): Promise<Blameless | undefined> {
    let failure: Failure = NOT_ALLOWED;
    // A reload closes one connection and refuses those that follow.
    for (let tries = 0; tries < 2; tries += 1) {
      const result = await this.#client.tell({ body: NOTHING }, signal);
      if (result.kind === 'answer' && result.code === 0) return undefined;
      failure = isClosed(result) ? NOT_ALLOWED : classify(result);
      if (!isClosed(result)) break;
    }
    return blameless(failure);
  }

  /**
   * Tells it to learn or to forget.
   * @param key of the message; none for a canary
   * @returns whether it says that it did, or why that is unknown
   */
  async #ask(telling: Telling, signal: AbortSignal, key?: string): Promise<boolean | Failure> {
    // Before it is asked: a child of it may wake when we have been killed.
    if (key !== undefined && telling.remove === 'local') this.#options.taught?.forgetting(key);
    const startedAt = this.#clock.monotonic();
    const result = await this.#client.tell(telling, signal);
    // Its child was killed, or spamd closes upon us whatever we say, or its answer got lost because it
    // doesn't read what it refuses (69, with 5 MB 10 times in 10).
    if (isClosed(result)) return (await this.#probe(signal)) ?? classify(result);
    if (result.kind === 'fault') {
      if (key !== undefined && result.late) this.#owed.add(key, telling.verdict, result.late);
      return classify(result);
    }
    if (result.code !== 0) return classify(result);
    const tookMs = this.#clock.monotonic() - startedAt;
    if (!result.did && isSlow(tookMs, telling.body.length)) return this.#locked(signal);
    this.#lock.free();
    return result.did;
  }

  async #locked(signal: AbortSignal): Promise<Failure> {
    const startedAt = this.#clock.monotonic();
    const failure = await this.#probe(signal);
    if (failure !== undefined) return failure;
    const now = this.#clock.monotonic();
    if (now - startedAt >= BUSY_MS) return BUSY;
    return this.#lock.held(now) ? LOCKED_FOR_EVER : LOCKED;
  }
}

function isFailure({ kind }: Outcome): boolean {
  return kind === 'unavailable' || kind === 'misconfigured' || kind === 'deferred';
}

function isClosed(result: TellResult): boolean {
  return result.kind === 'fault' && result.code === 'CLOSED';
}
