import type { FinalResult } from '../../src/delivery/result.ts';
import type { Filter } from '../../src/filter.ts';
import { ScriptedTrainer } from './scripted-trainer.ts';
import { StatusBench, WELL, deliveryOf, wellTrainer } from './status-bench.ts';
import type { StatusBenchOptions } from './status-bench.ts';
import { put } from './test-spool.ts';

const DAY_MS = 86_400_000;

/** What a name or an answer from outside may hold. */
export const HOSTILE = `<img src=x onerror="alert(1)">`;

export const THREE_CLASSES: StatusBenchOptions = {
  verdicts: ['spam', 'ham', 'newsletter'],
  trainers: [
    wellTrainer('http://one:11334', {
      ...WELL,
      learned: { spam: 1_204, ham: 87, newsletter: 15 },
    }),
  ],
};

export function bothFilters(): StatusBenchOptions {
  const spamd = new ScriptedTrainer('spamd://two:783', 'spamassassin');
  spamd.figures = WELL;
  return { trainers: [wellTrainer(), spamd] };
}

/** Bayes has enough spam, and not enough ham. */
const COLD: StatusBenchOptions = {
  trainers: [wellTrainer('http://one:11334', { ...WELL, learned: { spam: 1_204, ham: 87 } })],
};

/** A status of a hundred days, with a message of a hostile name in quarantine. */
export async function busyStatus(options = COLD): Promise<StatusBench> {
  const bench = await StatusBench.start(options);
  const filters = [...new Set(bench.trainers.map(({ filter }) => filter))];
  let made = 0;
  const ends = (filter: Filter, verdict: string, result: FinalResult, count: number): void => {
    for (let index = 0; index < count; index += 1) {
      made += 1;
      const ended = { verdict, key: `${made}.eml`, result, provenMs: 12 };
      bench.history.ended(filter, ended);
    }
  };
  for (let day = 0; day <= 100; day += 1) {
    bench.history.arrived();
    for (const filter of filters) {
      ends(filter, 'spam', 'learned', day % 7 > 4 ? 2 : 6 + ((day * 5) % 11) + (day > 60 ? 9 : 0));
      ends(filter, 'ham', 'learned', (day * 3) % 6);
      if (options.verdicts !== undefined) ends(filter, 'newsletter', 'learned', (day * 7) % 5);
      ends(filter, 'spam', 'refused', day % 9 === 4 ? 2 : 0);
      ends(filter, 'ham', 'superseded', day % 11 === 7 ? 1 : 0);
    }
    if (day < 100) bench.clock.advance(DAY_MS);
  }
  const { spool, messagesOf, controllers } = bench;
  for (const filter of filters) {
    messagesOf[filter].ended(deliveryOf('d'), { kind: 'learned', proven: true }, 20);
  }
  for (const each of controllers) each.proved(deliveryOf('d'));
  spool.drop('spam', 'a.eml');
  spool.enqueue('ham', 'b.eml');
  const key = '%3Cimg%20src=x%20onerror=alert%281%29%3E.eml';
  for (const [verdict, name] of [
    ['spam', key],
    ['ham', 'kopano-4711.eml'],
  ] as const) {
    put(spool.statePath(`quarantine/${verdict}/${name}`), 'Subject: secret');
    const reason = `rspamd answers 500 ${HOSTILE}; it was tried 10 times`;
    const json = { name, verdict, reason, attempts: 10, quarantinedAt: '2026-06-20T10:00:00.000Z' };
    put(spool.statePath(`quarantine/${verdict}/${name}.json`), JSON.stringify(json));
  }
  return bench;
}
