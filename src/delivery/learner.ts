import type { Filter } from '../filter.ts';
import type { FindUser } from '../user.ts';
import type { Affinity } from './affinity.ts';
import type { Controller } from './controller.ts';
import type { MessageEvents } from './events.ts';

/** A filter that is taught: its controllers, and what is known of it over all sessions. */
export interface Learner {
  readonly filter: Filter;
  readonly controllers: readonly Controller[];
  readonly affinity: Affinity;
  readonly events: MessageEvents;
  /** Posts in flight for each controller. */
  readonly concurrency: number;
  /** Whose memory learns a message. @defaultValue the filter decides */
  readonly findUser?: FindUser | undefined;
  /** How long one post may take, in milliseconds. */
  readonly longestPostMs: number;
}
