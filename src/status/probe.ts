import type { Clock } from '../clock.ts';
import { NO_BACKEND, isStarting } from '../trainers/rspamd.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';
import type { Numbers } from './counts.ts';

/**
 * A probe of a controller: `/stat`, and what its answer means for a message that came now. Never a
 * learning post.
 */
export type Probe =
  | { readonly kind: 'answers'; readonly statistics: Statistics }
  /** A filter without statistics; `obstacle` is why it takes no message, `null` when it does. */
  | { readonly kind: 'asked'; readonly obstacle: string | null }
  /** It is there, but doesn't show its statistics: the password, or another port. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'silent' };

const PROBE_TIMEOUT_MS = 2_000;

/** Asks a controller for its statistics, once. Rejects only by an error of this program. */
export async function probe(trainer: Trainer, clock: Clock, stop: AbortSignal): Promise<Probe> {
  const ending = new AbortController();
  const { signal } = ending;
  const end = (): void => ending.abort();
  const timer = clock.after(PROBE_TIMEOUT_MS, end);
  // Not AbortSignal.any(): what it makes would be kept for as long as `stop` is.
  if (stop.aborted) end();
  stop.addEventListener('abort', end, { once: true, signal });
  try {
    if (trainer.obstacle !== undefined) {
      const obstacle = (await trainer.obstacle(signal)) ?? null;
      return signal.aborted ? { kind: 'silent' } : { kind: 'asked', obstacle };
    }
    const statistics = await trainer.statistics?.(signal);
    if (statistics !== undefined) return { kind: 'answers', statistics };
    // /ping needs no password.
    const time = signal.aborted ? undefined : await trainer.time?.(signal);
    return { kind: time === undefined ? 'silent' : 'closed' };
  } finally {
    timer.cancel();
    end();
  }
}

/** Why a message that came now would not be learned, by what the controller says of itself. */
export function obstacleIn(seen: Probe): string | null {
  if (seen.kind === 'asked') return seen.obstacle;
  if (seen.kind === 'silent') return 'it does not answer';
  if (seen.kind === 'closed') {
    return 'it answers, but does not show its statistics (/stat): a wrong password, or not the port of the controller';
  }
  const { hasBackend, learned } = seen.statistics;
  if (isStarting(seen.statistics)) return 'rspamd is still starting';
  if (!hasBackend) return NO_BACKEND.reason;
  // rspamd 3.4 while Redis is away.
  const isUnknown = learned.spam === undefined && learned.ham === undefined;
  return isUnknown ? 'its Bayes backend does not answer' : null;
}

const NOTHING: Statistics['learned'] = { spam: undefined, ham: undefined };

/** What Bayes has learned, as a controller says. */
export function learnedIn(seen: Probe | undefined): Numbers {
  const learned = seen?.kind === 'answers' ? seen.statistics.learned : undefined;
  const { spam, ham, ...further } = learned ?? NOTHING;
  const known = Object.entries(further).map(([name, count]) => [name, count ?? null] as const);
  return { spam: spam ?? null, ham: ham ?? null, ...Object.fromEntries(known) };
}

/** The same, whichever controller says so first: they share one store. */
export function learnedOf(controllers: readonly { readonly bayes: Numbers }[]): Numbers {
  const first = controllers.find(({ bayes }) => bayes.spam !== null || bayes.ham !== null);
  return first?.bayes ?? { spam: null, ham: null };
}
