import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import type { FuzzyLists } from './fuzzy.ts';
import { RspamdTrainer } from './rspamd.ts';
import type { Diagnosis } from './spamassassin/canary.ts';
import { Reports } from './spamassassin/reports.ts';
import type { ReportsOptions } from './spamassassin/reports.ts';
import { SaLearnTrainer } from './spamassassin/sa-learn.ts';
import { SpamdTrainer } from './spamassassin/spamd.ts';
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
interface SpamAssassinTrainer extends Trainer {
  diagnose(signal: AbortSignal): Promise<Diagnosis>;
}

type Settings = Pick<Config, 'trainers' | 'rspamd' | 'spamd'>;

/** A filter, by the settings. */
interface Kind {
  /** Where it is: the names of its trainers. */
  readonly names: (config: Settings) => readonly string[];
  readonly create: (config: Settings, options: TrainersOptions) => readonly Trainer[];
}

/** The one list of filters. */
const KINDS: Readonly<Record<Filter, Kind>> = {
  rspamd: {
    names: ({ rspamd }) => rspamd.controllers.map(({ name }) => name),
    create: ({ rspamd }, { bulk = true, isSparse = false, fuzzyLists }) =>
      rspamd.controllers.map(
        (controller) => new RspamdTrainer({ ...rspamd, controller, bulk, isSparse, fuzzyLists }),
      ),
  },
  spamassassin: {
    names: ({ spamd }) => [spamd.address.name],
    create: ({ spamd }, options) => [createSpamAssassin(spamd, options)],
  },
};

/** Where the filters are that the settings name. */
export function namesOfTrainers(config: Settings): readonly string[] {
  return config.trainers.flatMap((filter) => KINDS[filter].names(config));
}

/** The trainers that the settings name, one for each controller. */
export function createTrainers(
  config: Settings,
  options: TrainersOptions = {},
): readonly Trainer[] {
  return config.trainers.flatMap((filter) => KINDS[filter].create(config, options));
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
