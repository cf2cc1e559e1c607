import { dayOf } from '../spool/archive.ts';
import type { BaseVerdict } from '../verdict.ts';
import type { Collection } from './collection.ts';
import { areaUnderRoc, areaWithInterval, rocCurve, shareOf } from './statistics.ts';
import type { Estimate, RocPoint } from './statistics.ts';
import type { Judged } from './time-order.ts';

/** What Bayes said of the messages of a class; the other three add up to `judged`. */
interface Said {
  readonly judged: number;
  readonly spam: number;
  readonly ham: number;
  readonly nothing: number;
}

export type SaidOfEach = Readonly<Record<BaseVerdict, Said>>;

/** Shares with their 95 % intervals; `null` of nothing. */
export interface Figures {
  /** Spam that Bayes calls spam. */
  readonly spamCaught: Estimate | null;
  /** Ham that Bayes calls spam. */
  readonly hamLost: Estimate | null;
  /** Messages of both classes of which Bayes says nothing. */
  readonly noOpinion: Estimate | null;
}

/** A part of the learning curve. */
export interface CurvePoint {
  /** The messages' numbers in the order of time, from 1. */
  readonly first: number;
  readonly last: number;
  /** When the first and the last of them came: `2026-03-14`. */
  readonly from: string;
  readonly to: string;
  readonly said: SaidOfEach;
}

/** So many points at most make the learning curve. */
const MOST_POINTS = 50;
const POINT = 100;

/** The class that Bayes gives a message, at rspamd's own threshold: it says nothing within 0.05 of 0.5. */
function saidOf(probability: number): keyof Omit<Said, 'judged'> {
  if (probability === 0.5) return 'nothing';
  return probability > 0.5 ? 'spam' : 'ham';
}

/** @param from @param to places in `judged` */
export function saidOfEach(
  collection: Collection,
  { messages, opinions }: Judged,
  from = 0,
  to = Infinity,
): SaidOfEach {
  const said = { spam: emptySaid(), ham: emptySaid() };
  for (const [at, message] of messages.slice(from, to).entries()) {
    const ofClass = said[collection.verdict(message)];
    ofClass.judged += 1;
    ofClass[saidOf(opinions[from + at] ?? 0.5)] += 1;
  }
  return said;
}

function emptySaid() {
  return { judged: 0, spam: 0, ham: 0, nothing: 0 };
}

export function figuresOf({ spam, ham }: SaidOfEach): Figures {
  return {
    spamCaught: shareOf(spam.spam, spam.judged) ?? null,
    hamLost: shareOf(ham.spam, ham.judged) ?? null,
    noOpinion: shareOf(spam.nothing + ham.nothing, spam.judged + ham.judged) ?? null,
  };
}

function isSpamIn(collection: Collection, { messages }: Judged): (at: number) => boolean {
  return (at) => collection.verdict(messages[at] ?? NaN) === 'spam';
}

/** The area above the ROC curve, from 0 to 1: what the TREC spam track calls 1-AUC. */
export function areaAbove(collection: Collection, judged: Judged): Estimate | null {
  const area = areaUnderRoc(judged.opinions, isSpamIn(collection, judged));
  if (area === undefined) return null;
  const { spam, ham } = saidOfEach(collection, judged);
  const { value, low, high } = areaWithInterval(area, spam.judged, ham.judged);
  return { value: 1 - value, low: 1 - high, high: 1 - low };
}

/** So many points of the ROC curve are kept, its ends among them. */
const MOST_ROC_POINTS = 200;

/** The ROC curve of opinions; a long one thinned, where nobody sees it. */
export function rocOf(collection: Collection, judged: Judged): readonly RocPoint[] {
  const curve = rocCurve(judged.opinions, isSpamIn(collection, judged));
  const step = Math.ceil(curve.length / MOST_ROC_POINTS);
  return curve.filter((_, at) => at % step === 0 || at === curve.length - 1);
}

/** The learning curve: by hundred messages, or by as many hundreds as make fifty points at most. */
export function learningCurve(collection: Collection, judged: Judged): readonly CurvePoint[] {
  const { messages } = judged;
  const { length } = messages;
  const step = POINT * Math.max(1, Math.ceil(length / (POINT * MOST_POINTS)));
  return Array.from({ length: Math.ceil(length / step) }, (_, point) => {
    const first = point * step;
    const last = Math.min(first + step, length);
    return {
      first: first + 1,
      last,
      from: dayOf(collection.time(messages[first] ?? NaN)),
      to: dayOf(collection.time(messages[last - 1] ?? NaN)),
      said: saidOfEach(collection, judged, first, last),
    };
  });
}

/** How many messages of each class Bayes gave how likely to be spam, in steps of 0.05. */
export interface HistogramBin {
  readonly from: number;
  readonly to: number;
  readonly spam: number;
  readonly ham: number;
}

const BINS = 20;

export function histogramOf(
  collection: Collection,
  { messages, opinions }: Judged,
): readonly HistogramBin[] {
  const bins = Array.from({ length: BINS }, (_, bin) => ({
    from: bin / BINS,
    to: (bin + 1) / BINS,
    spam: 0,
    ham: 0,
  }));
  for (const [at, message] of messages.entries()) {
    const bin = bins[Math.min(BINS - 1, Math.floor((opinions[at] ?? 0.5) * BINS))];
    if (bin !== undefined) bin[collection.verdict(message)] += 1;
  }
  return bins;
}
