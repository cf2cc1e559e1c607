import type { Clock } from '../clock.ts';
import type { Controller, ControllerState } from '../learning/controller.ts';
import { NO_BACKEND, isStarting } from '../trainers/rspamd.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';

/**
 * Probes of a controller: `/stat`, asked when somebody wants to know, and what its answer means for
 * a message that came now. Never a learning post.
 */
export type Probe =
  | { readonly kind: 'answers'; readonly statistics: Statistics }
  /** It is there, but doesn't show its statistics: the password, or another port. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'silent' }
  /** It wasn't asked: a password that it has refused must not be repeated. */
  | { readonly kind: 'spared' };

const TIMEOUT_MS = 2_000;

/** Asks a controller for its statistics, once. Rejects only by an error of this program. */
export async function probe(trainer: Trainer, clock: Clock, stop: AbortSignal): Promise<Probe> {
  const ending = new AbortController();
  const { signal } = ending;
  const end = (): void => {
    ending.abort();
  };
  const timer = clock.after(TIMEOUT_MS, end);
  // Not AbortSignal.any(): what it makes would be kept for as long as `stop` is.
  if (stop.aborted) end();
  stop.addEventListener('abort', end, { once: true, signal });
  try {
    const statistics = await trainer.statistics(signal);
    if (statistics !== undefined) return { kind: 'answers', statistics };
    // /ping needs no password.
    const time = signal.aborted ? undefined : await trainer.time(signal);
    return { kind: time === undefined ? 'silent' : 'closed' };
  } finally {
    timer.cancel();
    end();
  }
}

/** How long a probe is good for. */
const FRESH_MS: Readonly<Record<Probe['kind'], number>> = {
  answers: 2_000,
  silent: 2_000,
  spared: 0,
  // About ten wrong passwords lock an address out for a minute (rspamd 4.1).
  closed: 75_000,
};

interface CachedProbe {
  readonly probe: Promise<Probe>;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Monotonic; undefined while the probe is under way. */
  endedAt?: number;
  kind?: Probe['kind'];
}

/** The last probe of each controller: one serves all who ask within two seconds. */
export class StatCache {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  readonly #cached = new Map<Controller, CachedProbe>();

  /** @param stop ends the probes that are under way */
  constructor(clock: Clock, stop: AbortSignal) {
    this.#clock = clock;
    this.#stop = stop;
  }

  probe(controller: Controller): Promise<Probe> {
    if (controller.awaitsPassword) return Promise.resolve({ kind: 'spared' });
    const last = this.#cached.get(controller);
    if (last !== undefined && this.#isFresh(last, controller)) return last.probe;
    const next: CachedProbe = {
      probe: probe(controller.trainer, this.#clock, this.#stop),
      startedAt: this.#clock.wall(),
    };
    this.#cached.set(controller, next);
    next.probe.then(
      ({ kind }) => {
        next.endedAt = this.#clock.monotonic();
        next.kind = kind;
      },
      () => this.#cached.delete(controller), // the caller has the error; the next caller asks anew
    );
    return next.probe;
  }

  #isFresh({ startedAt, endedAt, kind = 'answers' }: CachedProbe, controller: Controller): boolean {
    if (endedAt === undefined) return true;
    // A message that was proven since shows that the password is right.
    const isKnownRight = (controller.lastProofAt ?? -Infinity) >= startedAt;
    const freshMs = FRESH_MS[isKnownRight ? 'answers' : kind];
    return this.#clock.monotonic() < endedAt + freshMs;
  }
}

/** What is known of a controller when somebody asks whether it would learn. */
export interface Readiness {
  readonly state: ControllerState;
  /** Why it isn't up, as messages have shown. */
  readonly reason: string | undefined;
  readonly probe: Probe;
  /** Messages wait for it. */
  readonly isWanted: boolean;
}

/**
 * Why a message that came now would not be learned soon at a controller; `undefined` when it would.
 *
 * While messages wait, what they have shown decides: `down`, `misconfigured` and `unproven` stay so
 * until a message is tried again. With nothing waiting nothing would ever show that a controller is
 * well again, so then its probe decides, as for `starting` and `up`. `unproven` is the exception:
 * what such a controller says of itself is not believed.
 */
export function obstacleOf({ state, reason, probe, isWanted }: Readiness): string | undefined {
  const isShown = state === 'down' || state === 'misconfigured';
  if (state === 'unproven' || (isShown && (isWanted || probe.kind === 'spared'))) {
    return `${state}: ${reason ?? 'no reason is known'}`;
  }
  switch (probe.kind) {
    case 'silent':
      return 'it does not answer';
    case 'closed':
      return 'it answers, but does not show its statistics (/stat): a wrong password, or not the port of the controller';
    case 'spared':
      return 'it refuses the password';
    case 'answers':
      return obstacleIn(probe.statistics);
  }
}

function obstacleIn(statistics: Statistics): string | undefined {
  const { hasBackend, learned } = statistics;
  if (isStarting(statistics)) return 'rspamd is still starting';
  if (!hasBackend) return NO_BACKEND.reason;
  // rspamd 3.4 while Redis is away.
  const isUnknown = learned.spam === undefined && learned.ham === undefined;
  return isUnknown ? 'its Bayes backend does not answer' : undefined;
}
