import type { Clock } from '../clock.ts';
import type { Verdict } from '../verdict.ts';
import { LogThrottle } from '../logger.ts';
import type { Log, LogEvent, Severity } from '../logger.ts';
import type { Outcome, Trainer } from '../trainers/trainer.ts';
import { faultOfVersion } from '../trainers/versions.ts';
import type { VersionFault } from '../trainers/versions.ts';
import { backoffMs } from './backoff.ts';
import type { Delivery } from './delivery.ts';
import { Pace } from './pace.ts';
import { COUNTED } from './proof.ts';
import { RevisionWatch } from './revision-watch.ts';
import { Suspects } from './suspects.ts';
import { UnprovenMessages } from './unproven.ts';

/**
 * What is known of one controller, and who is to blame for a failure there.
 *
 * It is always in one of these states:
 * - `starting`: not heard of yet; takes one message at a time until one of them is done.
 * - `up`: takes as many as it is allowed.
 * - `down`: a failure was its own, or nobody's; takes one probing message after a backoff.
 * - `misconfigured`: held until somebody changes a setting; probed slowly.
 * - `unproven`: it says "learned" and doesn't remember; probed with a different message each time.
 *
 * The last three are left by a probe that is done. Where the failure was an answer (a 5xx, a 200
 * without memory) only a proof counts, because reads may work where writes fail; a probe that shows
 * less is followed by the next one at once.
 */
export type ControllerState = 'starting' | 'up' | 'down' | 'misconfigured' | 'unproven';

const FIRST_MISCONFIGURED_MS = 15_000;
/** About ten wrong passwords lock an address out for a minute (rspamd 4.1); jitter may take a fifth. */
const FIRST_PASSWORD_MS = 75_000;

/** The last message that a controller proved to remember, kept to ask whether it still answers. */
export interface Witness {
  readonly key: string;
  readonly verdict: Verdict;
  readonly body: Buffer;
  readonly lanes: readonly string[];
}

export interface ControllerOptions {
  readonly trainer: Trainer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export class Controller {
  readonly name: string;
  readonly trainer: Trainer;
  readonly pace: Pace;
  /** Messages in flight there. */
  inFlight = 0;
  /** The one in flight is to stay the only one. */
  exclusive = false;
  /** Key of the last probing message. */
  lastProbe: string | undefined;
  /** The last proven message: what acquits the controller of a failure without an answer. */
  witness: Witness | undefined;
  /** Trials of charged messages wait until then, while others do. */
  nextTrialAt = 0;
  /** When it was last seen to have forgotten what it had learned, and how much. */
  forgot: Forgetting | undefined;
  /** What it showed of how many messages it has learned. */
  readonly revisions = new RevisionWatch();
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #throttle: LogThrottle;
  readonly #suspects = new Suspects();
  readonly #unproven = new UnprovenMessages();
  #learns = 0;
  #state: ControllerState = 'starting';
  #lastProofAt: number | undefined;
  #failures = 0;
  #retryAt = 0;
  #needsProof = false;
  #reason: string | undefined;
  #awaitsPassword = false;
  /** The version whose fault was said. */
  #toldVersion: string | undefined;
  /** When a message may probe that has not failed here since it was up. */
  #freshAt = 0;

  constructor(options: ControllerOptions) {
    this.name = options.trainer.name;
    this.trainer = options.trainer;
    this.pace = new Pace({ ...options, name: this.name });
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
    this.#throttle = new LogThrottle(options.clock);
  }

  get state(): ControllerState {
    return this.#state;
  }

  /** Why it isn't up, for people. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** When a message was last proven there, milliseconds since the epoch. */
  get lastProofAt(): number | undefined {
    return this.#lastProofAt;
  }

  /** It refused the password that we have. */
  get awaitsPassword(): boolean {
    return this.#state === 'misconfigured' && this.#awaitsPassword;
  }

  /** Takes messages in the ordinary way. */
  get isOpen(): boolean {
    return this.#state === 'up' || this.#state === 'starting';
  }

  /** True when it won't work within a few seconds, after so many probes. */
  isGivenUp(probes: number): boolean {
    return this.#state === 'misconfigured' || (!this.isOpen && this.#failures >= probes);
  }

  /** Some message waits for a proof, or for another's. */
  get isSuspected(): boolean {
    return !this.#unproven.isEmpty;
  }

  /** All that is known to be wrong with it is that its last answers were not proven, if anything is. */
  get lacksOnlyProof(): boolean {
    return this.isOpen || this.#state === 'unproven' || this.#reason === NO_PROOF_YET;
  }

  /** When the next probe may start; `undefined` while it is open. */
  get retryAt(): number | undefined {
    return this.isOpen ? undefined : this.#retryAt;
  }

  /** When a message that hasn't failed here may start the next probe; `undefined` while it is open. */
  get freshAt(): number | undefined {
    return this.isOpen ? undefined : Math.min(this.#freshAt, this.#retryAt);
  }

  /** Whether one more ordinary message fits. */
  hasRoom(concurrency: number): boolean {
    if (this.exclusive) return false;
    return this.inFlight < (this.#state === 'up' && !this.pace.isSlow ? concurrency : 1);
  }

  /** Lets the next probe start now. */
  retryNow(): void {
    this.#retryAt = 0;
  }

  /**
   * A message was stored and is remembered.
   * @returns the messages that are charged with their failures by that
   */
  proved(delivery: Delivery): Delivery[] {
    this.#unproven.proved(delivery);
    const charged = this.#suspects.proved(delivery, (accused) => this.excuses(accused));
    this.#needsProof = false;
    this.#lastProofAt = this.#clock.wall();
    this.#open();
    return charged;
  }

  /** It answered sensibly, but that doesn't show that it can store. */
  answered(): void {
    if (this.#needsProof) {
      this.#retryAt = this.#clock.monotonic();
      return;
    }
    this.#open();
  }

  /** It remembers what it acknowledged earlier: so it isn't true that it remembers nothing. */
  remembered(): void {
    if (this.#state === 'unproven') {
      this.#state = 'down';
      this.#reason = NO_PROOF_YET;
    }
    this.answered();
  }

  /** It can't learn now. */
  failed(failure: ControllerFailure): void {
    const { suspect, message = suspect, reason, wasProbe } = failure;
    this.#needsProof ||= failure.answered;
    this.#suspects.paused(suspect, this.isOpen);
    const freshAt = message === undefined ? undefined : this.#freshAfter(message, wasProbe);
    const waitMs = backoffMs(this.#failures + 1, this.#random());
    this.#pause('down', reason, wasProbe, waitMs, { freshAt });
  }

  /** A message got an unknown answer with no other beside it: the next one shows whose fault. */
  accuse(delivery: Delivery, reason: string, wasProbe: boolean): void {
    this.failed({ reason, answered: true, wasProbe, suspect: delivery });
    this.#suspects.accuse(delivery);
    this.lastProbe = delivery.entry.key;
  }

  /**
   * A message got an error for an answer.
   * @returns true when that is its own, and nothing has to be said of the controller: it got one
   *   before, and others were proven since
   */
  repeats(delivery: Delivery, wasAlone: boolean): boolean {
    return this.#suspects.repeats(delivery, wasAlone, this.isOpen);
  }

  /** Whether this message's failure is put down to an outage that ended right after it. */
  excuses(delivery: Delivery): boolean {
    return !this.isOpen && this.#suspects.excuses(delivery);
  }

  /** True for a message that failed here since it was last up. */
  hasFailedHere(delivery: Delivery): boolean {
    return this.#suspects.has(delivery);
  }

  /**
   * Whether this message may probe now. What others lengthen the backoff by that fail again and
   * again is not for one that hasn't failed here: it tells whose fault that is.
   */
  mayProbe(delivery: Delivery, now: number): boolean {
    return this.#retryAt <= now || (this.#freshAt <= now && !this.#suspects.has(delivery));
  }

  misconfigured(outcome: Extract<Outcome, { kind: 'misconfigured' }>, wasProbe: boolean): void {
    this.#awaitsPassword = outcome.password;
    const first = outcome.password ? FIRST_PASSWORD_MS : FIRST_MISCONFIGURED_MS;
    this.#suspects.paused(undefined, false);
    this.#pause(
      'misconfigured',
      outcome.reason,
      wasProbe,
      backoffMs(this.#failures + 1, this.#random(), first),
      { hint: outcome.hint },
    );
  }

  /**
   * A message was answered 200 to every post that it may take for now.
   * @param isRound it was posted more than once, so that this tells something of both
   */
  unproven(delivery: Delivery, wasProbe: boolean, isRound = true): void {
    const isSecond = this.#unproven.add(delivery, isRound);
    if (this.#state !== 'unproven' && !isSecond && this.isOpen) return;
    this.#needsProof = true;
    // It answers: another message may show at once that it stores.
    const freshAt = this.#freshAfter(delivery, wasProbe);
    const waitMs = backoffMs(this.#failures + 1, this.#random());
    if (this.#state === 'unproven' || isSecond) {
      // What failed while it forgot everything has shown nothing about itself.
      this.#unproven.excuseAll();
      const fault = this.#versionFault;
      const hint = fault === undefined ? LOOK_AT_REDIS : `${fault.does}: ${fault.cure}`;
      this.#pause('unproven', FORGETS, wasProbe, waitMs, { hint, freshAt });
    } else {
      this.#suspects.paused(undefined, false);
      this.#pause('down', NO_PROOF_YET, wasProbe, waitMs, { freshAt });
    }
  }

  /** A message was posted as often as it may be, now or by an earlier process. */
  awaitsProof(delivery: Delivery): void {
    this.#unproven.addSpent(delivery);
  }

  /** A post was answered 200. */
  acknowledged(): void {
    this.#learns += 1;
  }

  /** Posts of ours that it answered 200. */
  get learns(): number {
    return this.#learns;
  }

  /**
   * Ends the wait of the messages whose last posts `/stat` shows to be counted: they are stored,
   * whether rspamd recognises them or not.
   * @returns whether there were any
   */
  letCountedGo(): boolean {
    const counted = this.#unproven.takeCounted(this.revisions);
    for (const each of counted) this.#isStored(each);
    return counted.length > 0;
  }

  /** What is known to be wrong with the version of rspamd that it is. */
  get #versionFault(): VersionFault | undefined {
    return faultOfVersion(this.trainer.version);
  }

  #isStored(delivery: Delivery): void {
    delivery.letGo = COUNTED;
    if (this.#state !== 'unproven' && this.#reason !== NO_PROOF_YET) return;
    this.#needsProof = false;
    this.#open();
  }

  /** When a message that hasn't failed here may probe, now that this one has. */
  #freshAfter(failed: Delivery, wasProbe: boolean): number {
    const isKnown = this.#suspects.has(failed);
    this.#suspects.add(failed);
    if (isKnown || !(wasProbe || this.isOpen)) return this.#freshAt;
    return this.#clock.monotonic() + this.#suspects.freshWaitMs();
  }

  /** The message is gone from memory. */
  forget(delivery: Delivery): void {
    this.#unproven.forget(delivery);
    this.#suspects.forget(delivery);
  }

  /**
   * Forgets every message, not what it knows of the controller. Its owner may have changed: what was
   * proven or suspected before may have had a newer verdict since.
   */
  forgetMessages(): void {
    this.witness = undefined;
    this.lastProbe = undefined;
    this.#unproven.forgetAll();
    this.#suspects.forgetAll();
    this.#freshAt = this.#retryAt;
  }

  #open(): void {
    const before = this.#state;
    this.#state = 'up';
    this.#failures = 0;
    this.#reason = undefined;
    this.#suspects.opened();
    this.lastProbe = undefined;
    if (before === 'up') return;
    this.#throttle.forget('state');
    this.#log(
      'notice',
      'controller.up',
      `${this.name} learns${before === 'starting' ? '' : ' again'}`,
      {
        controller: this.name,
      },
    );
    this.#tellVersion();
  }

  #tellVersion(): void {
    const fault = this.#versionFault;
    if (fault === undefined || this.#toldVersion === this.trainer.version) return;
    this.#toldVersion = this.trainer.version;
    this.#log('warning', 'controller.outdated', `${this.name}: ${fault.does}; ${fault.cure}`, {
      controller: this.name,
      reason: fault.does,
      cure: fault.cure,
    });
  }

  /** Of several messages that fail at the same time only the first counts. */
  #pause(
    state: Exclude<ControllerState, 'starting' | 'up'>,
    reason: string,
    wasProbe: boolean,
    waitMs: number,
    { hint, freshAt }: { readonly hint?: string; readonly freshAt?: number | undefined },
  ): void {
    const wasOpen = this.isOpen;
    const isWorse = this.#state !== state;
    if (!wasOpen && !wasProbe && !(isWorse && state === 'unproven')) return;
    this.#state = state;
    this.#reason = reason;
    this.#failures += 1;
    this.#retryAt = this.#clock.monotonic() + waitMs;
    this.#freshAt = freshAt ?? this.#retryAt;
    if (!this.#throttle.allows('state', `${state} ${reason}`)) return;
    const { severity, event, says } = PAUSES[state];
    this.#log(
      severity,
      event,
      `${this.name} ${says}: ${reason}${hint === undefined ? '' : `; ${hint}`}`,
      {
        controller: this.name,
        reason,
        retrySeconds: Math.round(waitMs / 100) / 10,
        ...(hint === undefined ? {} : { cure: hint }),
      },
    );
  }
}

const NO_PROOF_YET = 'no proof yet';
const FORGETS = 'it answers 200 and remembers nothing of it';
const LOOK_AT_REDIS =
  "look at rspamd's log and at its Redis: out of memory, read-only, hung or unreachable; once that is mended, the next message or a SIGHUP to the daemon shows it";

export interface Forgetting {
  /** Learned messages that were gone. */
  readonly missing: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface ControllerFailure {
  readonly reason: string;
  /** It said so itself; only a proof shows that this is over. */
  readonly answered: boolean;
  readonly wasProbe: boolean;
  /** The message that may have caused it, where it was alone. */
  readonly suspect: Delivery | undefined;
  /** The message whose post it came to, where others can show whether that is at fault. */
  readonly message?: Delivery | undefined;
}

const PAUSES: Readonly<
  Record<
    Exclude<ControllerState, 'starting' | 'up'>,
    { readonly severity: Severity; readonly event: LogEvent; readonly says: string }
  >
> = {
  down: { severity: 'warning', event: 'controller.down', says: 'cannot learn now' },
  misconfigured: {
    severity: 'err',
    event: 'controller.misconfigured',
    says: 'will not learn until a setting is changed',
  },
  unproven: { severity: 'err', event: 'controller.unproven', says: 'is not to be believed' },
};
