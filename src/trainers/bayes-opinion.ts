import { statusLine } from './answers.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { presentable } from './reason.ts';

/**
 * What Bayes alone thinks of a message: rspamd's `/checkv2` with all but Bayes' two symbols switched
 * off for this one message. It teaches nothing.
 */
export class BayesQuestion {
  readonly #connection: Connection;

  constructor(options: ConnectionOptions) {
    this.#connection = new Connection(options);
  }

  /** Never rejects: what keeps rspamd from saying is an answer, too. */
  async ask(body: Buffer, signal: AbortSignal): Promise<Opinion> {
    const answer = await this.#connection.post('checkv2', body, signal, BAYES_ALONE, MOST_BYTES);
    if ('code' in answer) return { kind: 'fault', reason: answer.code };
    const probability = answer.status === 200 ? probabilityIn(answer.text) : undefined;
    if (probability !== undefined) return { kind: 'opinion', probability };
    return { kind: 'fault', reason: presentable(statusLine(answer), body) };
  }
}

type Opinion =
  /**
   * How likely Bayes thinks it is spam, from 0 to 1; exactly 0.5 where it says nothing, which is within
   * 0.05 of it, of a message with too few words, and before it has learned enough.
   */
  | { readonly kind: 'opinion'; readonly probability: number }
  | { readonly kind: 'fault'; readonly reason: string };

const BAYES_ALONE = { settings: '{"symbols_enabled":["BAYES_SPAM","BAYES_HAM"]}' };
/** The answer names each URL of the message. */
const MOST_BYTES = 4 * 1024 * 1024;
/** rspamd's score is its weight times this power of what it is sure (`rspamd_normalize_probability`). */
const POWER = 8;
/** What rspamd prints, in percent, is rounded by half of this. */
const ROUNDING = 0.01;

/**
 * @param text the body of an answer of `/checkv2`
 * @returns `undefined` where it is none
 */
function probabilityIn(text: string): number | undefined {
  const symbols = symbolsIn(text);
  if (symbols === undefined) return undefined;
  const { BAYES_SPAM: spam, BAYES_HAM: ham } = symbols;
  const symbol = spam ?? ham;
  if (symbol === undefined) return 0.5;
  const sureness = surenessOf(symbol);
  if (sureness === undefined) return undefined;
  return 0.5 + (spam === undefined ? -sureness : sureness) / 2;
}

/**
 * From 0 to 1. The symbol's option has it in percent with two places, in which much is 100.00 %; the
 * score has some more of them.
 */
function surenessOf({ score, metric_score: weight, options }: BayesSymbol): number | undefined {
  const printed = Number.parseFloat(options?.[0] ?? '') / 100;
  if (!(printed >= 0 && printed <= 1)) return undefined;
  const exact = ((score ?? NaN) / (weight ?? NaN)) ** (1 / POWER);
  return Math.abs(exact - printed) <= ROUNDING / 100 ? exact : printed;
}

interface BayesSymbol {
  readonly score?: number;
  readonly metric_score?: number;
  /** As in `["99.71%"]`. */
  readonly options?: readonly string[];
}

function symbolsIn(text: string): Readonly<Partial<Record<string, BayesSymbol>>> | undefined {
  try {
    const { symbols } = JSON.parse(text) as { readonly symbols?: Record<string, BayesSymbol> };
    return symbols;
  } catch {
    return undefined;
  }
}
