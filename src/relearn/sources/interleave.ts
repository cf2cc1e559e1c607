import type { Verdict } from '../../verdict.ts';
import { otherVerdict } from '../../verdict.ts';
import type { Found, Source } from './source.ts';

/**
 * Reads sources of both verdicts interleaved, so that at no moment rspamd has learned much of one
 * class and little of the other: one by one until it is known how many messages each class has, then
 * in proportion, so that both end together. The sources of one verdict are read one after the other.
 * Nothing is read ahead.
 */
export async function* interleave(
  sources: readonly Source[],
): AsyncGenerator<FoundIn, void, undefined> {
  const lanes: Record<Verdict, Lane> = {
    spam: new Lane(sources.filter(({ verdict }) => verdict === 'spam')),
    ham: new Lane(sources.filter(({ verdict }) => verdict === 'ham')),
  };
  let turn: Verdict = 'spam';
  try {
    for (;;) {
      const found: FoundIn | undefined = await lanes[turn].next();
      if (found !== undefined) yield found;
      const { spam, ham } = lanes;
      if (spam.isOver && ham.isOver) return;
      turn = turnOf(spam, ham, turn);
    }
  } finally {
    await Promise.all([lanes.spam.close(), lanes.ham.close()]);
  }
}

export interface FoundIn {
  readonly source: Source;
  readonly found: Found;
}

/** Whose turn it is; `last` had the one before. */
function turnOf(spam: Lane, ham: Lane, last: Verdict): Verdict {
  if (spam.isOver) return 'ham';
  if (ham.isOver) return 'spam';
  const { share: spamShare } = spam;
  const { share: hamShare } = ham;
  const [spamDone, hamDone] =
    spamShare === undefined || hamShare === undefined
      ? [spam.taken, ham.taken]
      : [spamShare, hamShare];
  if (spamDone === hamDone) return otherVerdict(last);
  return spamDone < hamDone ? 'spam' : 'ham';
}

/** The sources of one verdict. */
class Lane {
  readonly #sources: readonly Source[];
  #at = 0;
  #reading: AsyncGenerator<Found, void, undefined> | undefined;
  #taken = 0;
  /** What the sources that are over held. */
  #finished = 0;

  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  /** Messages given out so far, with those done before and those that failed. */
  get taken(): number {
    return this.#taken;
  }

  get isOver(): boolean {
    return this.#at === this.#sources.length;
  }

  /** How much of it was given out, 0 to 1; `undefined` while a source doesn't know its size. */
  get share(): number | undefined {
    let expected = this.#finished;
    for (let at = this.#at; at < this.#sources.length; at += 1) {
      const more = this.#sources[at]?.expected;
      if (more === undefined) return undefined;
      expected += more;
    }
    return expected === 0 ? 1 : this.#taken / expected;
  }

  async next(): Promise<FoundIn | undefined> {
    for (;;) {
      const source = this.#sources[this.#at];
      if (source === undefined) return undefined;
      this.#reading ??= source.read();
      const next = await this.#reading.next();
      if (next.done !== true) {
        const found = next.value;
        if (COUNTS.has(found.kind)) this.#taken += 1;
        return { source, found };
      }
      this.#reading = undefined;
      this.#finished += source.expected ?? 0;
      this.#at += 1;
    }
  }

  async close(): Promise<void> {
    const reading = this.#reading;
    this.#at = this.#sources.length;
    this.#reading = undefined;
    await reading?.return();
  }
}

const COUNTS: ReadonlySet<Found['kind']> = new Set(['message', 'done', 'failed']);
