import { describe, expect, test } from 'vitest';
import { disposeOf } from '../../src/spool/archive.ts';
import { QuarantinedMessages } from '../../src/spool/quarantined.ts';
import type { Verdict } from '../../src/verdict.ts';
import { SECOND_FILE_SYSTEM } from '../support/needs.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { folderElsewhere } from '../support/temporary.ts';
import { TestSpool, put, setMtime, setMtimeNs } from '../support/test-spool.ts';

/** A spool with a further class beside spam and ham: the rules are those of twins, for any number. */
const VERDICTS = ['spam', 'ham', 'news'] as const;
/** Any moment, in nanoseconds: no whole number of microseconds. */
const TIME = 1_700_000_000_123_456_789n;

/** When each was judged, in nanoseconds after that moment. */
type Times = Readonly<Partial<Record<(typeof VERDICTS)[number], bigint>>>;

function spoolWithNews(stateDir?: string): TestSpool {
  return new TestSpool({ verdicts: VERDICTS, ...(stateDir !== undefined && { stateDir }) });
}

const ORDERS: readonly (readonly [string, Times])[] = [
  ['news', { spam: 1n, ham: 2n, news: 3n }],
  ['news', { spam: 2n, ham: 1n, news: 3n }],
  ['ham', { spam: 1n, ham: 3n, news: 2n }],
  ['spam', { spam: 3n, ham: 1n, news: 2n }],
  ['ham', { spam: 1n, ham: 1n, news: 1n }],
  ['news', { spam: 1n, ham: 0n, news: 1n }],
  ['spam', { spam: 1n, ham: 0n }],
  ['ham', { spam: 0n, ham: 0n }],
  ['ham', { spam: 0n, ham: 1n }],
];

/** Gives the file of each verdict its time. */
function judge(times: Times, make: (verdict: Verdict) => string): void {
  for (const [verdict, after] of Object.entries(times)) setMtimeNs(make(verdict), TIME + after);
}

describe.each([
  ['the same file system', {}, () => spoolWithNews()],
  ['another one', SECOND_FILE_SYSTEM, () => spoolWithNews(`${folderElsewhere()}/state`)],
] as const)('with the state dir on %s', (_where, needs, make) => {
  test.each(ORDERS)('%s wins of the verdicts by %o', needs, async (winner, times) => {
    const bench = new PickupBench({ spool: make() });
    judge(times, (verdict) => bench.spool.drop(verdict, 'a.eml'));
    await bench.start();
    await bench.flowToTheEnd(`${winner}/a.eml`);
    expect(VERDICTS.flatMap((verdict) => bench.spool.dropped(verdict))).toEqual([]);
  });

  test('a newer file of any class takes the place of one in the queue', needs, async () => {
    const bench = new PickupBench({ spool: make() });
    await bench.start();
    for (const [index, verdict] of ['news', 'spam', 'news', 'ham'].entries()) {
      setMtime(bench.spool.drop(verdict, 'a.eml', `${index}`), 1_000 + index);
      bench.pickup.sweepNow();
      await bench.flowUntil(`${verdict} to be the only one`, () => {
        return bench.spool.queued.join() === `${verdict}/a.eml`;
      });
    }
    expect(bench.superseded).toEqual(['news/a.eml', 'spam/a.eml', 'news/a.eml']);
  });
});

test('a file waits for a twin of any class that is still being written', async () => {
  const bench = new PickupBench({ spool: spoolWithNews() });
  const path = bench.spool.drop('news', 'a.eml', 'n', 0o644);
  // Clocks of file systems are coarse, and of two files of one time the ham counts.
  setMtime(bench.spool.drop('ham', 'a.eml'), 1_000);
  await bench.start();
  await bench.clock.flow(1_000, 50);
  expect(bench.queued).toEqual([]);
  put(path, 'newer');
  await bench.flowUntilQueued('news/a.eml');
  expect(bench.spool.queued).toEqual(['news/a.eml']);
});

test.each(ORDERS)(
  'of twins in the queue, as by a restore, a scan leaves %s of %o',
  (winner, times) => {
    const spool = spoolWithNews();
    judge(times, (verdict) => spool.enqueue(verdict, 'a.eml'));
    expect(spool.queue.newest('a.eml')?.verdict).toBe(winner);
    const found = [...spool.queue.scan()].flatMap((each) => each?.entry.verdict ?? []);
    expect(found).toEqual([winner]);
    expect(spool.queued).toEqual([`${winner}/a.eml`]);
  },
);

test('the archive keeps the last verdict of a day, whatever the earlier ones were', () => {
  const spool = spoolWithNews();
  const { archive } = spool.stateDir;
  for (const verdict of ['news', 'spam', 'ham', 'news']) {
    spool.enqueue(verdict, 'a.eml');
    const to = { queue: spool.queue, archive, after: 'archive', wall: () => 0 } as const;
    expect(disposeOf(spool.entry(verdict, 'a.eml'), to)).toBeUndefined();
    const days = VERDICTS.flatMap((each) =>
      spool.names(`archive/${each}`).flatMap((day) => {
        return spool.names(`archive/${each}/${day}`).map((name) => `${each}/${day}/${name}`);
      }),
    );
    expect(days).toEqual([`${verdict}/1970-01-01/a.eml`]);
  }
});

test('the quarantine’s commands see every class that there is, the settings aside', () => {
  const spool = spoolWithNews();
  put(spool.statePath('quarantine/news/a.eml'), 'x');
  put(spool.statePath('quarantine/ham/a.eml'), 'x');
  using messages = QuarantinedMessages.open(spool.stateDir.root.path);
  expect(messages?.verdicts).toEqual(VERDICTS);
  expect([...(messages?.list() ?? [])]).toEqual([
    { verdict: 'ham', key: 'a.eml' },
    { verdict: 'news', key: 'a.eml' },
  ]);
  expect(messages?.release({ verdict: 'news', key: 'a.eml' })).toBe('done');
  expect(spool.names('release/news')).toEqual(['a.eml']);
});

test('a class that is named again teaches nothing that was judged anew meanwhile', async () => {
  const { lib } = spoolWithNews();
  const news = `${lib}/.learnd`;
  const places = ['queue/news/a.eml', 'quarantine/news/b.eml', 'release/news/c.eml'];
  for (const place of [...places, 'quarantine/news/b.eml.json', 'queue/news/d.eml']) {
    put(`${news}/${place}`, 'x');
  }
  const bench = new PickupBench({ spool: new TestSpool({ lib }) });
  for (const key of ['a.eml', 'b.eml', 'c.eml']) bench.spool.drop('ham', key);
  await bench.start();
  await bench.flowUntilQueued('ham/a.eml', 'ham/b.eml', 'ham/c.eml');
  const left = ['queue', 'quarantine', 'release'].map((place) =>
    bench.spool.names(`${place}/news`),
  );
  expect(left).toEqual([['d.eml'], [], []]);
  const lines = bench.recorder.of('message.superseded').map(({ fields }) => fields);
  expect(lines).toHaveLength(3);
  expect(lines).toContainEqual({ verdict: 'news', file: 'a.eml' });
});

test('a newer verdict removes what was released, or set aside, as another class', async () => {
  const before = spoolWithNews();
  put(before.statePath('release/news/a.eml'), 'x');
  put(before.statePath('quarantine/spam/a.eml'), 'x');
  const bench = new PickupBench({ spool: new TestSpool({ lib: before.lib, verdicts: VERDICTS }) });
  bench.spool.drop('ham', 'a.eml');
  await bench.start();
  await bench.flowUntilQueued('ham/a.eml');
  expect(bench.spool.names('release/news')).toEqual([]);
  expect(bench.spool.names('quarantine/spam')).toEqual([]);
});
