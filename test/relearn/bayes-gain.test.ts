import { beforeEach, expect, test } from 'vitest';
import { BayesGain } from '../../src/relearn/bayes-gain.ts';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';

let clock: ManualClock;
let trainer: ScriptedTrainer;
let gain: BayesGain;
let posted: { spam: number; ham: number };
const stop = new AbortController();

beforeEach(() => {
  clock = new ManualClock();
  trainer = new ScriptedTrainer();
  posted = { spam: 0, ham: 0 };
  gain = new BayesGain({
    trainers: [trainer],
    clock,
    postedSoFar: () => posted,
  });
});

function holds(spam: number | undefined, ham: number | undefined): Statistics {
  return { hasBackend: true, learned: { spam, ham }, uptimeSeconds: 100 };
}

/** What the end of a run comes to when rspamd's figures are these from then on. */
async function endWith(
  learned: { spam: number; ham: number },
  figures: Statistics | undefined,
  signal = stop.signal,
  wantsFresh = false,
): Promise<Gain & { tookMs: number }> {
  trainer.figures = figures;
  const before = clock.monotonic();
  let result: Gain | undefined;
  void gain.end({ learned, wantsFresh, stop: signal }).then((value) => {
    result = value;
  });
  await clock.flowUntil('it is over', () => result !== undefined);
  if (result === undefined) throw new Error('it is not over');
  return { ...result, tookMs: clock.monotonic() - before };
}

test('is told at once where the figures show all that was learned', async () => {
  trainer.figures = holds(10, 20);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 5, ham: 7 }, holds(15, 27));
  expect(result).toMatchObject({ gained: { spam: 5, ham: 7 }, missing: 0 });
  expect(result.tookMs).toBeLessThan(100);
});

test('is waited for while the figures are old', async () => {
  trainer.figures = holds(0, 0);
  await gain.begin(stop.signal);
  clock.after(50_000, () => {
    trainer.figures = holds(50, 50);
  });
  const result = await endWith({ spam: 50, ham: 50 }, holds(0, 0));
  expect(result).toMatchObject({ gained: { spam: 50, ham: 50 }, missing: 0 });
  expect(result.tookMs).toBeGreaterThan(49_000);
});

test('lacks what never shows, after a minute', async () => {
  trainer.figures = holds(0, 0);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 50, ham: 50 }, holds(45, 50));
  expect(result.missing).toBe(5);
  expect(result.tookMs).toBeGreaterThan(60_000);
  expect(result.tookMs).toBeLessThan(70_000);
});

test('lacks nothing within two in a hundred', async () => {
  trainer.figures = holds(100, 100);
  await gain.begin(stop.signal);
  expect((await endWith({ spam: 50, ham: 50 }, holds(149, 150))).missing).toBe(0);
});

test('of one class may be a loss, where verdicts were turned', async () => {
  trainer.figures = holds(100, 100);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 40, ham: 0 }, holds(140, 60));
  expect(result).toMatchObject({ gained: { spam: 40, ham: -40 }, missing: 0 });
});

test('is not known where rspamd did not tell before', async () => {
  trainer.figures = undefined;
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 5, ham: 5 }, holds(0, 0));
  expect(result).toMatchObject({ before: undefined, gained: undefined, missing: 0 });
  expect(result.after).toEqual({ spam: 0, ham: 0 });
});

test('counts from the first time that rspamd tells, and not what was posted by then', async () => {
  trainer.figures = holds(undefined, undefined);
  await gain.begin(stop.signal);
  await clock.flow(2_000, 100);
  posted = { spam: 1, ham: 0 };
  trainer.figures = holds(1, 1);
  await clock.flow(1_000, 100);
  trainer.figures = holds(3, 3);
  await clock.flow(1_000, 100);
  const result = await endWith({ spam: 5, ham: 4 }, holds(5, 5));
  expect(result).toMatchObject({ gained: { spam: 4, ham: 4 }, missing: 0 });
  expect(result.tookMs).toBeLessThan(100);
});

test('is asked once after a stop', async () => {
  trainer.figures = holds(0, 0);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 50, ham: 50 }, holds(10, 10), AbortSignal.abort());
  expect(result.gained).toEqual({ spam: 10, ham: 10 });
  expect(result.tookMs).toBeLessThan(100);
});

test.each([
  ['just what was learned', { spam: 500, ham: 100 }],
  ['more: real mail is counted up to 5 % higher', { spam: 525, ham: 105 }],
  ['about as much as before', { spam: 520, ham: 300 }],
  ['more than before', { spam: 600, ham: 310 }],
])(
  'can’t be told where Bayes was emptied a moment before, and now holds %s',
  async (_what, held) => {
    trainer.figures = holds(510, 300);
    await gain.begin(stop.signal);
    const result = await endWith({ spam: 500, ham: 100 }, holds(held.spam, held.ham));
    expect(result).toMatchObject({ gained: undefined, missing: 0, lack: 0, confirmed: true });
    expect(result).toMatchObject({ before: { spam: 510, ham: 300 }, after: held });
    expect(result.tookMs).toBeGreaterThan(60_000);
  },
);

test('can’t be told where Bayes was emptied and all was known, for what is known is no loss', async () => {
  trainer.figures = holds(510, 300);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 0, ham: 0 }, holds(0, 0), stop.signal, true);
  expect(result).toMatchObject({ gained: undefined, missing: 0 });
});

test('lacks what was learned where Bayes was emptied during the run', async () => {
  trainer.figures = holds(5_000, 5_000);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 500, ham: 100 }, holds(200, 50));
  expect(result).toMatchObject({ gained: undefined, missing: 350 });
});

test('lacks nothing for certain of a store that held more, however little that grew', async () => {
  trainer.figures = holds(5_000, 5_000);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 500, ham: 100 }, holds(5_000, 5_000));
  expect(result).toMatchObject({ gained: undefined, missing: 0, lack: 0 });
});

test('lacks what a run learned after its first minute, when the count was fresh', async () => {
  trainer.figures = holds(9_000, 9_000);
  await gain.begin(stop.signal);
  trainer.figures = holds(5_000, 5_000);
  await clock.flow(61_000, 100);
  posted = { spam: 1_000, ham: 1_000 };
  await clock.flow(2_000, 100);
  posted = { spam: 1_500, ham: 1_400 };
  const learned = { spam: 1_500, ham: 1_400 };
  expect(await endWith(learned, holds(5_500, 5_300))).toMatchObject({ missing: 100 });
});

test('lacks nothing where all of it came after the first minute', async () => {
  trainer.figures = holds(9_000, 9_000);
  await gain.begin(stop.signal);
  trainer.figures = holds(1_000, 1_000);
  await clock.flow(63_000, 100);
  const learned = { spam: 1_500, ham: 1_400 };
  const result = await endWith(learned, holds(2_500, 2_400));
  expect(result).toMatchObject({ gained: undefined, missing: 0 });
});

test('waits for a fresh count until rspamd tells it', async () => {
  trainer.figures = holds(9_000, 9_000);
  await gain.begin(stop.signal);
  trainer.figures = undefined;
  await clock.flow(70_000, 100);
  trainer.figures = holds(2_000, 2_000);
  await clock.flow(1_000, 100);
  expect(await endWith({ spam: 50, ham: 0 }, holds(2_000, 2_000))).toMatchObject({ missing: 50 });
});

test('is not confirmed when the wait is cut short, and nothing is said to be missing then', async () => {
  trainer.figures = holds(0, 0);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 50, ham: 50 }, holds(0, 0), AbortSignal.abort());
  expect(result).toMatchObject({ confirmed: false, missing: 0 });
});

test('is no older than the run where more depends on it', async () => {
  trainer.figures = holds(60, 60);
  await gain.begin(stop.signal);
  clock.after(55_000, () => {
    trainer.figures = holds(0, 0);
  });
  const result = await endWith({ spam: 0, ham: 0 }, holds(60, 60), stop.signal, true);
  expect(result.after).toEqual({ spam: 0, ham: 0 });
  expect(result.tookMs).toBeGreaterThan(55_000);
});
