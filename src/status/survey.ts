import type { Clock } from '../clock.ts';
import type { Controller } from '../delivery/controller.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';

/** What came of looking at one controller. */
export type Look =
  | { readonly kind: 'answers'; readonly statistics: Statistics }
  /** It is there, but doesn't show its statistics: the password, or another port. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'silent' }
  /** It wasn't asked: the password that it refused must not be repeated. */
  | { readonly kind: 'spared' };

/** Looking takes no longer than this. */
const TIMEOUT_MS = 2_000;
/** How long a look is good for. */
const FRESH_MS: Readonly<Record<Look['kind'], number>> = {
  answers: 2_000,
  silent: 2_000,
  spared: 0,
  // About ten wrong passwords lock an address out for a minute (rspamd 4.1).
  closed: 75_000,
};

interface Taken {
  readonly look: Promise<Look>;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Monotonic. */
  freshUntil: number;
  until: number;
}

/** Asks a controller for its statistics, once. Rejects only by an error of this program. */
export async function lookAt(
  trainer: Trainer,
  clock: Clock,
  stop?: AbortSignal,
): Promise<Exclude<Look, { readonly kind: 'spared' }>> {
  const ending = new AbortController();
  const end = (): void => {
    ending.abort();
  };
  const timer = clock.after(TIMEOUT_MS, end);
  if (stop?.aborted === true) end();
  stop?.addEventListener('abort', end, { once: true, signal: ending.signal });
  try {
    const statistics = await trainer.statistics(ending.signal);
    if (statistics !== undefined) return { kind: 'answers', statistics };
    // /ping needs no password.
    const time = ending.signal.aborted ? undefined : await trainer.time(ending.signal);
    return { kind: time === undefined ? 'silent' : 'closed' };
  } finally {
    timer.cancel();
    end();
  }
}

/**
 * The survey: looks at the controllers when somebody wants to know, and at most every two seconds
 * however many want to. Nothing is asked while nobody does.
 */
export class Survey {
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  readonly #looks = new Map<Controller, Taken>();

  constructor(options: { readonly clock: Clock; readonly stop: AbortSignal }) {
    this.#clock = options.clock;
    this.#stop = options.stop;
  }

  look(controller: Controller): Promise<Look> {
    if (controller.awaitsPassword) return Promise.resolve({ kind: 'spared' });
    const last = this.#looks.get(controller);
    if (last !== undefined && this.#clock.monotonic() < this.#goodUntil(controller, last)) {
      return last.look;
    }
    // While it is under way everybody gets this one.
    const next: Taken = {
      look: this.#look(controller),
      at: this.#clock.wall(),
      freshUntil: Infinity,
      until: Infinity,
    };
    this.#looks.set(controller, next);
    next.look.then(
      ({ kind }) => {
        const now = this.#clock.monotonic();
        next.freshUntil = now + FRESH_MS.answers;
        next.until = now + FRESH_MS[kind];
      },
      () => this.#looks.delete(controller), // whoever asked has the error; the next one asks anew
    );
    return next.look;
  }

  /** A message that was proven since shows that the password is right: no need to be sparing. */
  #goodUntil({ lastProofAt }: Controller, { at, freshUntil, until }: Taken): number {
    return lastProofAt !== undefined && lastProofAt >= at ? freshUntil : until;
  }

  #look(controller: Controller): Promise<Look> {
    return lookAt(controller.trainer, this.#clock, this.#stop);
  }
}
