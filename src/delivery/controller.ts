import type { Clock } from '../clock.ts';
import { LogThrottle, type Log } from '../logger.ts';
import { plural } from '../text.ts';
import { NO_CLUSTER } from '../trainers/answers.ts';
import type { Held, Outcome, Statistics, Trainer } from '../trainers/trainer.ts';
import type { Verdict } from '../verdict.ts';
import { LearnCounts } from './learn-counts.ts';
import type { PendingMessage } from './message.ts';
import { Pace } from './pace.ts';
import { COUNTED } from './proof.ts';
import { Probing } from './probing.ts';
import { Suspects } from './suspects.ts';

/**
 * What is known of one controller. It is always in one of these states:
 * - `starting`: not heard of yet; takes one message at a time until one of them is done, unless it
 *   teaches in batches.
 * - `up`: takes as many as it is allowed.
 * - `down`: a failure was the controller's own, or nobody's; takes one probing message after a backoff.
 * - `misconfigured`: held until somebody changes a setting; probed slowly.
 * - `unproven`: it says "learned" and doesn't remember; probed with a different message each time.
 *
 * A probe that is done ends the last three. Where the failure was an answer (a 5xx, a 200 without
 * memory) only a proof counts, because reads may work where writes fail; a probe that shows less is
 * followed by the next one at once.
 */
export type ControllerState = 'starting' | 'up' | 'down' | 'misconfigured' | 'unproven';

const FIRST_MISCONFIGURED_MS = 15_000;
/** About ten wrong passwords lock an address out for a minute (rspamd 4.1); jitter may take a fifth. */
const FIRST_PASSWORD_MS = 75_000;
const NO_PROOF_YET = 'no proof yet';
const FORGETS = 'it acknowledges what it learns and remembers nothing of it';

export interface ControllerOptions {
  readonly trainer: Trainer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** What to do when it has forgotten what it had learned. */
  readonly teachAgain?: () => string;
}

export class Controller {
  readonly name: string;
  readonly trainer: Trainer;
  readonly pace: Pace;
  /** Key of the last probing message. */
  lastProbe: string | undefined;
  /** Tries of guilty messages wait until then while others wait, too: monotonic. */
  guiltyNotBefore = 0;
  /** Posts of ours that it answered 200. */
  learns = 0;
  /** When a message was last proven there, milliseconds since the epoch. */
  lastProofAt: number | undefined;
  /** When it was last seen to have forgotten what it had learned, and how many messages. */
  forgot: { readonly missing: number; readonly at: number } | undefined;
  /** Classes of which it learns nothing, and why. */
  readonly heldBack = new Map<Verdict, string>();
  readonly #options: ControllerOptions;
  readonly #throttle: LogThrottle;
  readonly #suspects: Suspects;
  readonly #counts = new LearnCounts();
  #state: ControllerState = 'starting';
  readonly #probing: Probing;
  #needsProof = false;
  #trouble: { readonly reason?: string; readonly cure?: string | undefined } = {};
  #awaitsPassword = false;
  /** It recognises what it is taught, and Bayes is empty all the same. */
  #isHollow = false;
  /** The version whose fault was logged. */
  #toldVersion: string | undefined;

  constructor(options: ControllerOptions) {
    this.name = options.trainer.name;
    this.trainer = options.trainer;
    this.pace = new Pace(this.name, options.clock, options.log);
    this.#probing = new Probing(options.random);
    this.#suspects = new Suspects(this.name);
    this.#options = options;
    this.#throttle = new LogThrottle(options.clock);
  }

  get state(): ControllerState {
    return this.#state;
  }

  /** Why it isn't up, for people. */
  get reason(): string | undefined {
    return this.#trouble.reason;
  }

  /** What may be done about it. */
  get cure(): string | undefined {
    return this.#trouble.cure;
  }

  /** It refused the password that we have. */
  get awaitsPassword(): boolean {
    return this.#state === 'misconfigured' && this.#awaitsPassword;
  }

  /** Takes messages in the ordinary way. */
  get isOpen(): boolean {
    return this.#state === 'up' || this.#state === 'starting';
  }

  /** May have several messages in flight. */
  get takesSeveral(): boolean {
    const isReady = this.trainer.teachesInBatches === true ? this.isOpen : this.#state === 'up';
    return isReady && !this.pace.isSlow;
  }

  /** True when it won't work within a few seconds, after so many probes. */
  isGivenUp(probes: number): boolean {
    return this.#state === 'misconfigured' || (!this.isOpen && this.#probing.failures >= probes);
  }

  /** Some message waits for a proof, or for another's. */
  get isSuspected(): boolean {
    return this.#suspects.lackProof;
  }

  /** Nothing is known to be wrong with it that its `/stat` can't show, or show to be over. */
  get lacksOnlyProof(): boolean {
    const mayShow = this.isOpen || this.#state === 'unproven' || this.reason === NO_PROOF_YET;
    return this.#isHollow || mayShow;
  }

  // --- probing it

  /** When the next probe may start; 0 while it is open. */
  get retryAt(): number {
    if (this.#isHollow) return Infinity;
    return this.isOpen ? 0 : this.#probing.retryAt;
  }

  /** When a message that hasn't failed here may start the next probe; 0 while it is open. */
  get freshAt(): number {
    if (this.#isHollow) return Infinity;
    return this.isOpen ? 0 : this.#probing.freshAt;
  }

  /** Whether this message may probe now. */
  mayProbe(message: PendingMessage, now: number): boolean {
    return (this.hasFailedHere(message) ? this.retryAt : this.freshAt) <= now;
  }

  /** True for a message that failed here since the controller was last up. */
  hasFailedHere(message: PendingMessage): boolean {
    return !this.#probing.isFresh(message);
  }

  /** Lets the next probe start now. */
  retryNow(): void {
    this.#probing.retryAt = 0;
  }

  // --- what its answers show

  /**
   * A message was stored and is remembered.
   * @returns the messages that are charged with their failures by that
   */
  proved(message: PendingMessage): PendingMessage[] {
    const charged = this.#suspects.proved(message);
    this.#needsProof = false;
    this.lastProofAt = this.#options.clock.wall();
    this.#open();
    return charged;
  }

  /** It answered sensibly, but that doesn't show that it can store. */
  answered(): void {
    if (this.#needsProof) this.#probing.retryAt = this.#options.clock.monotonic();
    else this.#open();
  }

  /** It remembers what it acknowledged earlier: so it isn't true that it remembers nothing. */
  remembered(): void {
    if (this.#state === 'unproven') {
      this.#state = 'down';
      this.#trouble = { reason: NO_PROOF_YET };
    }
    this.answered();
  }

  /**
   * A message failed in a way that may be its own doing.
   * @returns true when it is: it failed before, and others were proven since
   */
  repeats(message: PendingMessage, wasAlone: boolean): boolean {
    return this.#suspects.repeats(message, wasAlone, this.isOpen);
  }

  /** It can't learn now. */
  failed(failure: ControllerFailure): void {
    this.#needsProof ||= failure.answered;
    this.#pause('down', failure);
  }

  misconfigured(outcome: Misconfigured, wasProbe: boolean): void {
    this.#awaitsPassword = outcome.password;
    const firstMs = outcome.password ? FIRST_PASSWORD_MS : FIRST_MISCONFIGURED_MS;
    this.#pause('misconfigured', { ...outcome, wasProbe }, firstMs);
  }

  /** It learns nothing of a class, and other messages as ever. */
  holdsBack(verdict: Verdict, { reason, hint: cure }: Held): void {
    this.heldBack.set(verdict, reason);
    if (!this.#throttle.allows(`class ${reason}`)) return;
    const says = `${this.name} will not learn ${verdict} until a setting is changed: ${reason}`;
    const fields = { controller: this.name, reason, cure };
    this.#options.log('err', 'controller.misconfigured', says, fields);
  }

  /**
   * A message was answered 200 to every post that it may take for now.
   * @param isRound the message was posted more than once, so that this tells something of both
   */
  unproven(message: PendingMessage, wasProbe: boolean, isRound = true): void {
    const isUnproven = this.#suspects.addUnproven(message, isRound) || this.#state === 'unproven';
    if (!isUnproven && this.isOpen) return;
    this.#needsProof = true;
    if (!isUnproven) {
      this.#pause('down', { reason: NO_PROOF_YET, wasProbe, message });
      return;
    }
    this.#suspects.excuseUnproven();
    const fault = this.trainer.versionFault;
    const hint = fault === undefined ? this.trainer.memoryCure : `${fault.does}: ${fault.cure}`;
    this.#pause('unproven', { reason: FORGETS, hint, wasProbe, message });
  }

  /** A message was posted as often as it may be, now or by an earlier process. */
  awaitsProof(message: PendingMessage): void {
    this.#suspects.addUnproven(message, false);
  }

  // --- what its `/stat` shows

  /** So many messages it had learned when it was last seen, by an earlier process. */
  recall(sum: number): void {
    this.#counts.recall(sum);
  }

  /**
   * Takes in what it says of how many messages it has learned, and logs what it has forgotten. The
   * messages whose last posts are shown to be counted wait no longer: they are stored, whether rspamd
   * recognises them or not.
   * @param learns acknowledged learns of all controllers that share the memory
   * @returns whether the wait of any message is over
   */
  observe(statistics: Statistics, learns: number): boolean {
    const { clock, log } = this.#options;
    const missing = this.#counts.observe(statistics, clock.monotonic(), learns);
    this.#noteHollow(this.#counts.isHollow);
    if (missing > 0) {
      this.forgot = { missing, at: clock.wall() };
      const what = `${this.name} has forgotten ${plural(missing, 'learned message')}`;
      const says = `${what}; ${this.#options.teachAgain?.() ?? 'teach it again'}`;
      log('err', 'controller.forgot', says, { controller: this.name, missing });
    }
    const counted = this.#suspects.takeCounted(this.#counts);
    for (const { proof } of counted) proof.letGo = COUNTED;
    if (counted.length > 0 && (this.#state === 'unproven' || this.reason === NO_PROOF_YET)) {
      this.#needsProof = false;
      this.#open();
    }
    return counted.length > 0;
  }

  /** Nothing more is taught to it, for every proof would be false, until it was started anew. */
  #noteHollow(isHollow: boolean): void {
    const wasHollow = this.#isHollow;
    this.#isHollow = isHollow;
    if (isHollow && !wasHollow) this.misconfigured(HOLLOW, true);
    if (!isHollow && wasHollow) this.retryNow();
  }

  // --- forgetting messages

  /** The message is gone from memory. */
  forget(message: PendingMessage): void {
    this.#suspects.forget(message);
  }

  /** Forgets every message: the spool may have had another owner, and newer verdicts, since. */
  forgetMessages(): void {
    this.lastProbe = undefined;
    this.#suspects.forgetAll();
    this.#probing.forgetMessages();
  }

  // --- changing state

  #open(): void {
    if (this.#isHollow) return;
    const before = this.#state;
    this.#state = 'up';
    this.#probing.passed();
    this.#trouble = {};
    this.lastProbe = undefined;
    if (before === 'up') return;
    this.#throttle.forget('state');
    const says = `${this.name} learns${before === 'starting' ? '' : ' again'}`;
    this.#options.log('notice', 'controller.up', says, { controller: this.name });
    this.#logVersionFault();
  }

  #logVersionFault(): void {
    const fault = this.trainer.versionFault;
    if (fault === undefined || this.#toldVersion === this.trainer.version) return;
    this.#toldVersion = this.trainer.version;
    const says = `${this.name}: ${fault.does}`;
    const fields = { controller: this.name, reason: fault.does, cure: fault.cure };
    this.#options.log('warning', 'controller.outdated', says, fields);
  }

  /**
   * Of several messages that fail at the same time only the first counts.
   * @param firstMs the backoff after a first failure
   */
  #pause(state: PausedState, failure: Failure, firstMs?: number): void {
    const { clock, log } = this.#options;
    const { reason, hint, wasProbe, message } = failure;
    const now = clock.monotonic();
    this.#suspects.paused();
    const shows = wasProbe || this.isOpen;
    const freshAt = message && this.#probing.freshAfter(message, now, shows);
    const isWorse = state === 'unproven' && this.#state !== state;
    if (!shows && !isWorse) return;
    this.#probing.failed(now, state !== this.#state, firstMs, freshAt);
    this.#state = state;
    this.#trouble = { reason, cure: hint };
    if (!this.#throttle.allows('state', `${state} ${reason}`)) return;
    const says = `${this.name} ${SAYS[state]}: ${reason}`;
    log(state === 'down' ? 'warning' : 'err', `controller.${state}`, says, {
      controller: this.name,
      reason,
      retrySeconds: Math.round((this.#probing.retryAt - now) / 100) / 10,
      cure: hint ?? 'kopano-learnd doctor says more',
    });
  }
}

export interface ControllerFailure {
  readonly reason: string;
  /** What may be done about it, where that is known. */
  readonly hint?: string | undefined;
  /** The controller said so itself; only a proof shows that this is over. */
  readonly answered: boolean;
  readonly wasProbe: boolean;
  /** The message whose post failed, where other messages can show whether that one is at fault. */
  readonly message?: PendingMessage | undefined;
}

type PausedState = Exclude<ControllerState, 'starting' | 'up'>;

type Failure = Omit<ControllerFailure, 'answered'>;
type Misconfigured = Extract<Outcome, { kind: 'misconfigured' }>;

const HOLLOW: Misconfigured = {
  kind: 'misconfigured',
  reason: 'it recognises what it is taught, and its Bayes goes on to hold nothing',
  hint: `${NO_CLUSTER}; or look at rspamd's log; then restart rspamd`,
  password: false,
};

const SAYS: Readonly<Record<PausedState, string>> = {
  down: 'cannot learn now',
  misconfigured: 'will not learn until a setting is changed',
  unproven: 'is not to be believed',
};
