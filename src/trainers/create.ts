import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import { RspamdTrainer } from './rspamd.ts';
import type { Trainer } from './trainer.ts';

/** The trainers that the settings name, one for each controller: the one list of filters. */
export function createTrainers(config: Config, { bulk = true } = {}): readonly Trainer[] {
  const { rspamd } = config;
  const make: Readonly<Record<Filter, () => readonly Trainer[]>> = {
    rspamd: () =>
      rspamd.controllers.map((controller) => new RspamdTrainer({ ...rspamd, controller, bulk })),
    spamassassin: () => [],
  };
  return config.trainers.flatMap((filter) => make[filter]());
}
