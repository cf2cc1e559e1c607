import type { Collection } from './collection.ts';
import type { CrossValidation } from './cross-validation.ts';
import { describeDisputed } from './disputed.ts';
import type { Contradicted, Disputed } from './disputed.ts';
import type { Beside, OrderedBy, ReadingResult } from './reading.ts';
import { areaAbove, figuresOf, histogramOf, learningCurve, rocOf, saidOfEach } from './report.ts';
import type { CurvePoint, Figures, HistogramBin, SaidOfEach } from './report.ts';
import type { SiteBayes } from './site-bayes.ts';
import type { Estimate, RocPoint } from './statistics.ts';
import type { Judged, TimeOrderResult } from './time-order.ts';

/** All that an evaluation found: what `--json` prints, and what text and page are made of. */
export interface Evaluation {
  readonly filter: SiteBayes & { readonly version: string | null };
  readonly messages: {
    /** Those judged in time order, and of `beside` duplicates, short and failed, add up to it. */
    readonly read: number;
    readonly spam: number;
    readonly ham: number;
    readonly beside: Readonly<Beside> & {
      readonly duplicates: number;
      /** Bayes takes nothing from them. */
      readonly short: number;
      /** rspamd could not take them. */
      readonly failed: number;
    };
  };
  readonly timeOrder: {
    readonly orderedBy: OrderedBy;
    readonly seconds: number;
    readonly all: Outcome;
    /** From the first message on of which Bayes said anything; `null` where there is none. */
    readonly speaking: (Outcome & { readonly first: number }) | null;
    readonly curve: readonly CurvePoint[];
  };
  readonly crossValidation: Outcome & {
    readonly folds: number;
    readonly seed: number;
    readonly seconds: number;
    /** From how many messages of each class on Bayes spoke here. */
    readonly minLearns: number;
    /** Judged in time order, and not here: rspamd failed. */
    readonly failed: number;
    readonly areaAbove: Estimate | null;
    readonly histogram: readonly HistogramBin[];
    readonly roc: readonly RocPoint[];
  };
  readonly disputed: Disputed;
  /** The list of paths that was written. */
  readonly outFile: { readonly name: string; readonly paths: number } | null;
  /** Commands that teach what that list names the other way. */
  readonly relearn: readonly string[];
}

/** What Bayes said, in numbers and in shares of them. */
interface Outcome {
  readonly said: SaidOfEach;
  readonly figures: Figures;
}

/** What the parts of the work came to. */
export interface Findings {
  readonly filter: Evaluation['filter'];
  readonly collection: Collection;
  readonly reading: ReadingResult;
  readonly duplicates: number;
  readonly timeOrder: TimeOrderResult & { readonly seconds: number };
  readonly crossValidation: CrossValidation &
    Pick<Evaluation['crossValidation'], 'folds' | 'seed' | 'seconds' | 'minLearns'>;
  readonly disputed: readonly Contradicted[];
}

export function evaluationOf(findings: Findings): Omit<Evaluation, 'outFile' | 'relearn'> {
  const { filter, collection, reading, duplicates, timeOrder, crossValidation } = findings;
  const { known, short, failed } = timeOrder;
  const { size, messages } = collection;
  const spam = messages.filter((message) => collection.verdict(message) === 'spam').length;
  return {
    filter,
    messages: {
      read: size,
      spam,
      ham: size - spam,
      beside: { duplicates: duplicates + known, short, failed, ...reading.beside },
    },
    timeOrder: {
      orderedBy: reading.orderedBy,
      seconds: timeOrder.seconds,
      all: outcomeOf(collection, timeOrder),
      speaking: speakingOf(collection, timeOrder),
      curve: learningCurve(collection, timeOrder),
    },
    crossValidation: {
      folds: crossValidation.folds,
      seed: crossValidation.seed,
      seconds: crossValidation.seconds,
      minLearns: crossValidation.minLearns,
      failed: crossValidation.failed,
      ...outcomeOf(collection, crossValidation),
      areaAbove: areaAbove(collection, crossValidation),
      histogram: histogramOf(collection, crossValidation),
      roc: rocOf(collection, crossValidation),
    },
    disputed: describeDisputed(collection, findings.disputed),
  };
}

function outcomeOf(collection: Collection, judged: Judged, from = 0): Outcome {
  const said = saidOfEach(collection, judged, from);
  return { said, figures: figuresOf(said) };
}

function speakingOf(collection: Collection, judged: Judged): Evaluation['timeOrder']['speaking'] {
  const from = judged.opinions.findIndex((probability) => probability !== 0.5);
  return from === -1 ? null : { first: from + 1, ...outcomeOf(collection, judged, from) };
}
