import type { Clock } from '../clock.ts';
import type { FuzzyFlags } from '../fuzzy-flags.ts';
import type { Verdict } from '../verdict.ts';
import { classifyAnswer, isProxys, statusLine } from './answers.ts';
import { classifyFault } from './connection-faults.ts';
import type { Answer, Fault } from './answer-reader.ts';
import type { Connection } from './connection.ts';
import type { Example, Outcome } from './trainer.ts';

/**
 * rspamd's fuzzy storage, which the controller passes hashes of messages to. When a message was learned
 * its hashes are added to the list of its class: only then does the trainer tell that it was. Where its
 * verdict has turned they are deleted from the list that they were added to before.
 *
 * A storage collects for some time (`sync`, a minute unless set) what it is told. In rspamd 4.1.5 what is
 * deleted and then added within that time is gone. And a deletion takes a hash out of all lists (3.4, 4.1.5). So nothing is deleted without need,
 * and between a deletion and whatever else is done with the same message lies more than that time.
 *
 * Each step may be done twice. What fails here is the storage's or the settings', unless the same list took
 * others since the last failure: only then may it be the message's.
 */
interface FuzzyOptions {
  readonly flags: FuzzyFlags;
  readonly connection: Connection;
  /** Adds a message when it is acknowledged, where most are not proven (`relearn`). */
  readonly isSparse: boolean;
  /** To which list each message was added, where that is kept: else nothing is ever deleted. */
  readonly lists: FuzzyLists | undefined;
  readonly clock: Pick<Clock, 'wall'>;
}

/** The class that was last added under a key, with a note. Neither method throws or rejects. */
export interface FuzzyLists {
  last(key: string): Promise<{ readonly verdict: Verdict; readonly body: Buffer } | undefined>;
  put(key: string, verdict: Verdict, body: Buffer): Promise<void>;
}

/** What was done for a message, known by its very buffer: it lives as long as a try of it does. */
type Step = 'begun' | 'acknowledged' | 'added';

/** A message on its way from one list to another. */
interface Turn {
  /** The list that it leaves. */
  readonly flag: number;
  /** How often it was deleted there: the first time may come too soon after it was added. */
  readonly deletions: number;
  /** When it was last. */
  readonly at: number;
}

/** Longer than a storage collects, unless it is set otherwise. */
const SYNC_MS = 70_000;
const DELETIONS = 2;
const NO_NOTE = Buffer.alloc(0);

interface Row {
  readonly says: RegExp;
  /** The flag's own fault: messages of other classes are learned. */
  readonly isOfClass?: true;
  readonly cure: (flag: number) => string;
}

/**
 * What is misconfigured, by status and reason: seen on rspamd 3.4 and 4.1.5 (503 where 3.4 says 403), of
 * both paths alike.
 */
const ROWS: readonly Row[] = [
  {
    // Nor is there one where the rule may only be read.
    isOfClass: true,
    says: /^404 (No fuzzy rules matched|no fuzzy rules found|Unknown or missing flag)/i,
    cure: (flag) =>
      `give a rule of rspamd's local.d/fuzzy_check.conf that has read_only = false the flag ${flag} in its fuzzy_map, or correct RSPAMD_FUZZY_FLAGS`,
  },
  {
    says: /^(500 Module disabled|404 Not found)/i,
    cure: () =>
      "rspamd's module fuzzy_check is off: give it a rule in local.d/fuzzy_check.conf and restart rspamd, or leave RSPAMD_FUZZY_FLAGS unset",
  },
  {
    says: /^403 (?!Unauthorized)|^503 process fuzzy error/i,
    cure: () =>
      "the fuzzy storage takes nothing from this rspamd: add the controller's address to allow_update in its local.d/worker-fuzzy.inc, and give rule and storage the same encryption_key",
  },
];

const NOTHING_TO_HASH = /^404 No content to generate fuzzy/i;
export const START_STORAGE =
  "start rspamd's fuzzy worker, or correct its address (servers) in local.d/fuzzy_check.conf; rspamd's log says more";

export class Fuzzy {
  readonly #options: FuzzyOptions;
  readonly #steps = new WeakMap<Buffer, Step>();
  /** The lists that took a hash since one was last not taken. */
  readonly #taking = new Set<number>();

  constructor(options: FuzzyOptions) {
    this.#options = options;
  }

  /**
   * To be called before a message is learned: deletes it where it was added as something else.
   * @returns why it may not be learned now; `undefined` where it may
   */
  async before({ key, verdict, body }: Example, signal: AbortSignal): Promise<Outcome | undefined> {
    if (this.#steps.has(body)) return undefined;
    const { flags, lists } = this.#options;
    const last = await lists?.last(key);
    const flag = last === undefined ? undefined : flags.get(last.verdict)?.flag;
    const isTurned =
      last !== undefined && last.verdict !== verdict && turnIn(last.body) === undefined;
    if (isTurned && flag !== undefined) {
      const failure = await this.#delete(
        { key, body },
        last.verdict,
        { flag, deletions: 0 },
        signal,
      );
      if (failure !== undefined) return failure;
    }
    this.#steps.set(body, 'begun');
    return undefined;
  }

  /**
   * To be called with what rspamd says of a message. It is added when it is proven, when Bayes finds
   * nothing to learn in it, or when it is acknowledged once more, which may be all that ever comes.
   * @returns that outcome, or why the message could not be added
   */
  async after(example: Example, outcome: Outcome, signal: AbortSignal): Promise<Outcome> {
    const { kind } = outcome;
    const { body } = example;
    const step = this.#steps.get(body);
    if (kind === 'learned') {
      if (step !== 'acknowledged' && !this.#options.isSparse) {
        this.#steps.set(body, 'acknowledged');
        return outcome;
      }
    } else if ((kind !== 'duplicate' && kind !== 'refused') || step === 'added') {
      return outcome;
    }
    const failure = await this.#add(example, signal);
    if (failure !== undefined) return failure;
    this.#steps.set(body, 'added');
    return outcome;
  }

  async #add({ key, verdict, body }: Example, signal: AbortSignal): Promise<Outcome | undefined> {
    const { flags, lists } = this.#options;
    const last = await lists?.last(key);
    const turn = last && turnIn(last.body);
    if (last !== undefined && turn !== undefined) {
      const now = this.#options.clock.wall();
      const leftMs = turn.at + SYNC_MS - now;
      if (leftMs > SYNC_MS) {
        // The clock was set back, perhaps by years: the wait begins anew.
        await lists?.put(key, last.verdict, noteOf({ ...turn, at: now }));
        return waits(SYNC_MS);
      }
      if (leftMs > 0) return waits(leftMs);
      if (turn.deletions < DELETIONS) {
        const failure = await this.#delete({ key, body }, last.verdict, turn, signal);
        return failure ?? waits(SYNC_MS);
      }
    }
    const own = flags.get(verdict);
    // Before it is added: a process that is killed meanwhile leaves it added.
    if (own !== undefined || turn !== undefined) await lists?.put(key, verdict, NO_NOTE);
    return own && this.#send('fuzzyadd', own, body, signal);
  }

  /** Deletes a message from a list, and notes that and when. */
  async #delete(
    { key, body }: Pick<Example, 'key' | 'body'>,
    from: Verdict,
    { flag, deletions }: Pick<Turn, 'flag' | 'deletions'>,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const { lists, clock } = this.#options;
    const failure = await this.#send('fuzzydel', { flag }, body, signal);
    if (failure !== undefined) return failure;
    const turn: Turn = { flag, deletions: deletions + 1, at: clock.wall() };
    await lists?.put(key, from, noteOf(turn));
    return undefined;
  }

  /** @returns what kept it from being done */
  async #send(
    path: 'fuzzyadd' | 'fuzzydel',
    { flag, weight }: { readonly flag: number; readonly weight?: number },
    body: Buffer,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const headers = { flag: String(flag), ...(weight !== undefined && { weight: String(weight) }) };
    // Of those that a crash takes along together all may be the one that caused it.
    const isTaking = this.#taking.has(flag);
    const result = await this.#options.connection.post(path, body, signal, headers);
    if (signal.aborted) return { kind: 'aborted' };
    const failure = classifyFuzzy(result, flag, isTaking);
    if (failure !== undefined) this.#taking.delete(flag);
    else if ('status' in result && result.status < 300) this.#taking.add(flag);
    return failure;
  }
}

/** Only time is needed: nothing is wrong with anybody. */
function waits(waitMs: number): Outcome {
  const reason = 'it leaves one list of the fuzzy storage, and enters the other one a little later';
  return { kind: 'held', reason, hint: 'nothing is to be done', waitMs };
}

function noteOf({ flag, deletions, at }: Turn): Buffer {
  return Buffer.from(`${flag} ${deletions} ${at}`);
}

/** The turn that a note tells of. */
function turnIn(note: Buffer): Turn | undefined {
  if (note.length === 0) return undefined;
  const [flag, deletions, at] = note.toString('latin1').split(' ').map(Number);
  if (flag === undefined || deletions === undefined || at === undefined) return undefined;
  return { flag, deletions, at };
}

/**
 * What it means that the storage did not do as told; `undefined` where it did, or had nothing to do.
 * @param isTaking the list took another message since it last failed
 */
export function classifyFuzzy(
  result: Answer | Fault,
  flag: number,
  isTaking = false,
): Outcome | undefined {
  if ('code' in result) {
    // A silent controller may still do as it was told.
    return unanswered(classifyFault(result), result.code === 'ETIMEDOUT', isTaking);
  }
  const said = statusLine(result);
  if ((result.status >= 200 && result.status < 300) || NOTHING_TO_HASH.test(said)) return undefined;
  const meaning = classifyAnswer(result);
  if (isProxys(result)) return unanswered(meaning, true, isTaking);
  const row = ROWS.find(({ says }) => says.test(said));
  const reason = `its fuzzy storage takes no hash for flag ${flag} (${said})`;
  if (row !== undefined) {
    const hint = row.cure(flag);
    if (row.isOfClass === true) return { kind: 'held', reason, hint, isOfClass: true };
    return { kind: 'misconfigured', password: false, reason, hint };
  }
  // 3.4 has the errno for a status where nobody listens: 111.
  const isItsOwn = result.status >= 500 || result.status < 200;
  return isItsOwn && meaning.kind !== 'misconfigured'
    ? away(reason, isTaking ? 'answered' : 'none')
    : meaning;
}

/** There is no answer. One that takes no connection is down itself; so says a proxy what it means. */
function unanswered(outcome: Outcome, isSilent: boolean, isTaking: boolean): Outcome {
  if (outcome.kind !== 'deferred') return outcome;
  const reason = `its fuzzy storage is to take a hash, and there is no answer (${outcome.reason})`;
  // It may be the message that makes the controller die.
  return isTaking ? { ...outcome, reason } : away(reason, isSilent ? 'silent' : 'none');
}

/**
 * A message that has no hashes is learned while the storage is away, which shows nothing of those that
 * have: none of them is to blame, unless the list takes others.
 */
function away(reason: string, contact: 'answered' | 'silent' | 'none'): Outcome {
  return { kind: 'unavailable', reason, hint: START_STORAGE, contact };
}
