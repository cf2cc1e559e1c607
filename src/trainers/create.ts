import type { Config } from '../config.ts';
import { RspamdTrainer } from './rspamd.ts';
import type { Trainer } from './trainer.ts';

/** The trainers that the settings name, one for each controller: the one list of filters. */
export function createTrainers({ rspamd }: Config, { bulk = true } = {}): readonly Trainer[] {
  return rspamd.controllers.map((controller) => new RspamdTrainer({ ...rspamd, controller, bulk }));
}
