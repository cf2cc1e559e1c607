import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import type { FuzzyLists } from './fuzzy.ts';
import { RspamdTrainer } from './rspamd.ts';
import { Reports } from './spamassassin/reports.ts';
import type { ReportsOptions } from './spamassassin/reports.ts';
import {
  SA_LEARN_CONCURRENCY,
  SA_LEARN_LONGEST_MS,
  SaLearnTrainer,
} from './spamassassin/sa-learn.ts';
import { SpamdTrainer } from './spamassassin/spamd.ts';
import type { Diagnosis } from './spamassassin/diagnosis.ts';
import type { Taught } from './spamassassin/taught.ts';
import type { Trainer } from './trainer.ts';

export interface TrainersOptions {
  /** rspamd learns what Bayes judges rightly already, too. @defaultValue true */
  readonly bulk?: boolean;
  /** Most messages are not proven. @defaultValue false */
  readonly isSparse?: boolean;
  /** What was taught before, where that is kept. */
  readonly taught?: Taught;
  /** To which list of rspamd's fuzzy storage messages were added, where that is kept. */
  readonly fuzzyLists?: FuzzyLists;
  /** Where SPAMD_REPORT is set. @defaultValue nothing is reported */
  readonly reporting?: Pick<ReportsOptions, 'onResult' | 'stop'>;
}

/** A trainer that can find out whether SpamAssassin learns. */
export interface SpamAssassinTrainer extends Trainer {
  diagnose(signal: AbortSignal): Promise<Diagnosis>;
}

/** A trainer by spamd, or by `sa-learn` where SPAMD_URL names that. */
export function createSpamAssassin(
  spamd: Config['spamd'],
  { taught, reporting }: Pick<TrainersOptions, 'taught' | 'reporting'> = {},
): SpamAssassinTrainer {
  if (spamd.address.program !== undefined) return new SaLearnTrainer({ ...spamd, taught });
  const isReported = spamd.report && reporting !== undefined;
  const reports = isReported ? new Reports({ ...spamd, ...reporting }) : undefined;
  return new SpamdTrainer({ ...spamd, taught, reports });
}

/** Posts in one that is taught to SpamAssassin: what was known is forgotten first, with a canary. */
const TELLS = 10;

/** How many calls SpamAssassin's trainer takes at a time, and how long one may take. */
export function limitsOfSpamAssassin({ address, timeoutMs }: Config['spamd']) {
  return address.program === undefined
    ? // More bring nothing, and cost latency (30 a second with one, 22 with four).
      { concurrency: 1, longestPostMs: TELLS * timeoutMs }
    : { concurrency: SA_LEARN_CONCURRENCY, longestPostMs: SA_LEARN_LONGEST_MS };
}

/** The trainers that the settings name, one for each controller: the one list of filters. */
export function createTrainers(
  config: Pick<Config, 'trainers' | 'rspamd' | 'spamd'>,
  options: TrainersOptions = {},
): readonly Trainer[] {
  const { rspamd, spamd } = config;
  const { bulk = true, isSparse = false, fuzzyLists } = options;
  const make: Readonly<Record<Filter, () => readonly Trainer[]>> = {
    rspamd: () =>
      rspamd.controllers.map(
        (controller) => new RspamdTrainer({ ...rspamd, controller, bulk, isSparse, fuzzyLists }),
      ),
    spamassassin: () => [createSpamAssassin(spamd, options)],
  };
  return config.trainers.flatMap((filter) => make[filter]());
}
