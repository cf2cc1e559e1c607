import type { Clock } from '../clock.ts';
import type { Controller, ControllerState } from '../delivery/controller.ts';
import { NO_BACKEND, isStarting } from '../trainers/rspamd.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';
import { Cached } from './cached.ts';

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

const PROBE_TIMEOUT_MS = 2_000;

/** Asks a controller for its statistics, once. Rejects only by an error of this program. */
export async function probe(trainer: Trainer, clock: Clock, stop: AbortSignal): Promise<Probe> {
  const ending = new AbortController();
  const { signal } = ending;
  const end = (): void => {
    ending.abort();
  };
  const timer = clock.after(PROBE_TIMEOUT_MS, end);
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

/** The last probe of a controller: one serves all who ask within two seconds. */
export class CachedProbe {
  readonly #controller: Controller;
  readonly #cached: Cached<Probe>;
  /** Milliseconds since the epoch. */
  #startedAt = 0;

  /** @param stop ends the probe that is under way */
  constructor(controller: Controller, clock: Clock, stop: AbortSignal) {
    this.#controller = controller;
    this.#cached = new Cached(clock, () => {
      this.#startedAt = clock.wall();
      return probe(controller.trainer, clock, stop);
    });
  }

  get(): Promise<Probe> {
    const { awaitsPassword, lastProofAt = -Infinity } = this.#controller;
    if (awaitsPassword) return Promise.resolve({ kind: 'spared' });
    // A message that was proven since shows that the password is right.
    const isKnownRight = lastProofAt >= this.#startedAt;
    return this.#cached.get(({ kind }) => FRESH_MS[isKnownRight ? 'answers' : kind]);
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
