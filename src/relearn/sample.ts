import type { MessageEntry } from '../delivery/message.ts';
import { isRecognised } from '../delivery/proof.ts';
import type { Verdict } from '../verdict.ts';
import type { Reading, Source } from './sources/source.ts';
import type { RunStats } from './stats.ts';

/**
 * A sample of what a run learned without proving each message by itself: drawn at random while the run
 * goes on, and posted again at its end. What rspamd then doesn't know, it has forgotten, or never stored.
 *
 * rspamd recognises a message by tokens that its web addresses make unstable. Of 1,491 messages of the
 * public corpus, posted again some hundred messages later, 3.4 knew 98.7 % of those that name one host at
 * most, 48 % of those that name several, and 78 % of those in base64; all of them at the second post. So
 * only the first kind is drawn. Nor is a message posted again whose copy was learned with another verdict
 * later: rspamd doesn't know the earlier one any more, and would take it for the last.
 */
export interface SampleResult {
  /** Messages that were posted again, and answered. */
  readonly posted: number;
  /** Those that rspamd didn't know. */
  readonly forgotten: number;
  /** With 95 % confidence at most this part of what was not posted again is not known either. */
  readonly atMost: number;
  /** Whether that many are not known of a sound memory. */
  readonly isUsual: boolean;
}

interface Drawn {
  readonly place: string;
  readonly verdict: Verdict;
  readonly body: Buffer;
  readonly locks: readonly string[];
}

/** Messages are drawn without a look at them, and most are of the wrong kind in some archives. */
const DRAWN_FOR_EACH = 4;
const LARGEST_BYTES = 32 * 1024 * 1024;
/** Of what rspamd knows, at most this part is not recognised by one post. */
const USUAL_PART = 0.02;
const CONFIDENCE = 0.95;
/** A sound memory is called forgetful in one run of a thousand. */
const CHANCE = 0.001;

export class Sample {
  readonly #size: number;
  readonly #random: () => number;
  /** `undefined` for a message of the wrong kind. */
  readonly #drawn: (Drawn | undefined)[] = [];
  /** What was last learned under the locks of those that were drawn. */
  readonly #verdicts = new Map<string, Verdict>();
  #most: number;
  #offered = 0;
  #bytes = 0;

  /** @param size at most so many messages are posted again */
  constructor(size: number, random: () => number) {
    this.#size = size;
    this.#most = size * DRAWN_FOR_EACH;
    this.#random = random;
  }

  /**
   * Every message that was learned and not proven by itself (Vitter's algorithm R).
   * @param locks it shares one with each copy of it
   */
  offer({ key, verdict }: MessageEntry, body: Buffer, locks: readonly string[]): void {
    this.#offered += 1;
    for (const lock of locks) if (this.#verdicts.has(lock)) this.#verdicts.set(lock, verdict);
    const place = this.#drawn.length < this.#most ? this.#drawn.length : this.#below(this.#offered);
    if (place >= this.#most) return;
    this.#bytes -= this.#drawn[place]?.body.length ?? 0;
    const isFit = isRecognised(body);
    this.#drawn[place] = isFit ? { place: key, verdict, body, locks } : undefined;
    if (!isFit) return;
    for (const lock of locks) this.#verdicts.set(lock, verdict);
    this.#bytes += body.length;
    while (this.#bytes > LARGEST_BYTES) this.#drop();
  }

  /** What is to be posted again, as sources for a run of its own. */
  sources(): Source[] {
    const fit = this.#drawn
      .flatMap((each) => each ?? [])
      .filter(({ locks, verdict }) => locks.every((lock) => this.#verdicts.get(lock) === verdict));
    while (fit.length > this.#size) fit.splice(this.#below(fit.length), 1);
    const verdicts = new Set(fit.map(({ verdict }) => verdict));
    return [...verdicts].map((verdict) => {
      const drawn = fit.filter((each) => each.verdict === verdict);
      return {
        name: 'the sample',
        verdict,
        expected: drawn.length,
        count: () => Promise.resolve(),
        // eslint-disable-next-line @typescript-eslint/require-await -- the interface is that of files
        async *read(): Reading {
          for (const { place, body } of drawn) yield { kind: 'message', place, body };
        },
      };
    });
  }

  /** A smaller sample is a random one, too. */
  #drop(): void {
    const [dropped] = this.#drawn.splice(this.#below(this.#drawn.length), 1);
    this.#bytes -= dropped?.body.length ?? 0;
    this.#most = this.#drawn.length;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** @param stats of the run that posted the sample again; `undefined` where nothing was */
export function sampleResult(stats: RunStats): SampleResult | undefined {
  const forgotten = stats.total('learned');
  const posted = forgotten + stats.total('known');
  if (posted === 0) return undefined;
  const isUsual = forgotten === 0 || 1 - chanceOfAtMost(forgotten - 1, posted, USUAL_PART) > CHANCE;
  return { posted, forgotten, atMost: upperLimit(forgotten, posted), isUsual };
}

/** How likely at most `count` of `of` are, when each has this chance. */
function chanceOfAtMost(count: number, of: number, chance: number): number {
  let term = (1 - chance) ** of;
  let sum = term;
  for (let k = 1; k <= count; k += 1) {
    term *= ((of - k + 1) / k) * (chance / (1 - chance));
    sum += term;
  }
  return sum;
}

/** The largest part of the whole that a sample like this is still likely of (Clopper and Pearson). */
function upperLimit(count: number, of: number): number {
  if (count >= of) return 1;
  let [low, high] = [count / of, 1];
  while (high - low > 1e-6) {
    const middle = (low + high) / 2;
    if (chanceOfAtMost(count, of, middle) > 1 - CONFIDENCE) low = middle;
    else high = middle;
  }
  return high;
}
