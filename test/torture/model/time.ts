import type { Timer } from '../../../src/clock.ts';
/**
 * The time of the model: it jumps from one event to the next, and after each event everything that
 * this set off comes to its end before time goes on. Nothing depends on how fast the machine is, so
 * the same seed brings the same run.
 *
 * An event belongs to the process that waits for it, or to the world. That of a dead process never
 * comes; a stopped one (SIGSTOP) gets all that was due when it goes on.
 */
export interface Owner {
  readonly isDead: boolean;
  /** When it goes on; in the past unless it is stopped. */
  readonly stoppedUntil: number;
}

interface Event {
  readonly at: number;
  readonly owner: Owner | undefined;
  readonly callback: () => void;
}

/** When the model's time begins, in milliseconds since the epoch. */
const START = Date.UTC(2026, 2, 14, 12, 0, 0);

export class Timeline<O extends Owner> {
  /** Milliseconds since the beginning. */
  now = 0;
  /** How far the wall clock is off. */
  wallError = 0;
  /** Whose event it is that is happening; `undefined` when it is the world's. */
  running: O | undefined;
  readonly #events = new Set<Event>();

  /** Milliseconds since the epoch, as they really are. */
  get trueTime(): number {
    return START + this.now;
  }

  /** Milliseconds since the epoch, as the machine believes. */
  get wall(): number {
    return this.trueTime + this.wallError;
  }

  after(ms: number, callback: () => void, owner?: O): Timer {
    const event = { at: this.now + Math.max(0, ms), owner, callback };
    this.#events.add(event);
    return {
      cancel: () => this.#events.delete(event),
    };
  }

  /**
   * Lets time flow.
   * @param afterEach called after each event, when all that it set off has come to its end
   */
  async flow(ms: number, afterEach: (owner: O | undefined) => void): Promise<void> {
    const end = this.now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#events.delete(next);
      this.now = Math.max(this.now, dueAt(next));
      await this.happen(next.owner as O | undefined, next.callback);
      afterEach(next.owner as O | undefined);
    }
    this.now = end;
  }

  /** Does something as `owner`, and waits until all of it has come to its end. */
  async happen(owner: O | undefined, act: () => void): Promise<void> {
    this.running = owner;
    try {
      act();
      await quiet();
    } finally {
      this.running = undefined;
    }
  }

  #next(end: number): Event | undefined {
    let first: Event | undefined;
    for (const event of this.#events) {
      if (event.owner?.isDead === true) this.#events.delete(event);
      else if (dueAt(event) <= end && (first === undefined || dueAt(event) < dueAt(first))) {
        first = event;
      }
    }
    return first;
  }
}

function dueAt({ at, owner }: Event): number {
  return owner === undefined ? at : Math.max(at, owner.stoppedUntil);
}

/** Everything that is left to do now is promises: they are done when the event loop turns. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
