import type { ControllerState } from '../delivery/controller.ts';
import type { Look } from './survey.ts';

/**
 * Readiness: whether a message that came now would be learned soon.
 *
 * A controller that messages have shown to be down, misconfigured or unproven is believed to be so
 * for as long as a message waits to try it again. With nothing waiting nothing would ever show that
 * it is well again, so then what it says of itself counts, as for one that is not heard of yet
 * (`starting`) and one that was up when a message last came. `unproven` is the exception: what such
 * a controller says of itself is what it isn't believed.
 */
export interface Candidate {
  readonly state: ControllerState;
  /** Why it isn't up, as messages have shown. */
  readonly reason: string | undefined;
  readonly look: Look;
  /** Messages wait for it. */
  readonly isWanted: boolean;
}

/** rspamd shows no statistics for the first moments after its start, whatever its backend. */
const SETTLED_SECONDS = 3;

/** Why nothing can be learned at a controller; `undefined` when it can. */
export function obstacleAt(candidate: Candidate): string | undefined {
  const { state, look, isWanted } = candidate;
  const reason = `${state}: ${candidate.reason ?? 'no reason is known'}`;
  switch (state) {
    case 'unproven':
      return reason;
    case 'down':
    case 'misconfigured':
      return isWanted || look.kind === 'spared' ? reason : silenceOf(look);
    case 'starting':
    case 'up':
      return silenceOf(look);
  }
}

function silenceOf(look: Look): string | undefined {
  switch (look.kind) {
    case 'silent':
      return 'it does not answer';
    case 'closed':
      return 'it answers, but does not show its statistics (/stat): a wrong password, or not the port of the controller';
    case 'spared':
      return 'it refuses the password';
    case 'answers': {
      const { hasBackend, learned, uptimeSeconds } = look.statistics;
      if (!hasBackend) {
        return (uptimeSeconds ?? Infinity) < SETTLED_SECONDS
          ? 'rspamd is still starting'
          : 'it has no Bayes backend ("statfiles" is empty in /stat)';
      }
      // rspamd 3.4 while Redis is away.
      if (learned.spam === undefined && learned.ham === undefined) {
        return 'its Bayes backend does not answer';
      }
      return undefined;
    }
  }
}
