import { beforeEach, expect, test } from 'vitest';
import { BayesGain } from '../../src/relearn/bayes-gain.ts';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';

let clock: ManualClock;
let trainer: ScriptedTrainer;
let gain: BayesGain;
const stop = new AbortController();

beforeEach(() => {
  clock = new ManualClock();
  trainer = new ScriptedTrainer();
  gain = new BayesGain([trainer], clock);
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
  const result = await endWith({ spam: 5, ham: 5 }, holds(5, 5));
  expect(result).toMatchObject({ before: undefined, gained: undefined, missing: 0 });
  expect(result.after).toEqual({ spam: 5, ham: 5 });
});

test('counts from the first time that rspamd tells', async () => {
  trainer.figures = holds(undefined, undefined);
  await gain.begin(stop.signal);
  trainer.figures = holds(1, 1);
  await gain.begin(stop.signal);
  trainer.figures = holds(3, 3);
  await gain.begin(stop.signal);
  expect((await endWith({ spam: 4, ham: 4 }, holds(5, 5))).gained).toEqual({ spam: 4, ham: 4 });
});

test('is asked once after a stop', async () => {
  trainer.figures = holds(0, 0);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 50, ham: 50 }, holds(10, 10), AbortSignal.abort());
  expect(result.gained).toEqual({ spam: 10, ham: 10 });
  expect(result.tookMs).toBeLessThan(100);
});

test('is that of a Bayes that was wiped a moment before, where it holds just what was learned', async () => {
  trainer.figures = holds(500, 300);
  await gain.begin(stop.signal);
  const result = await endWith({ spam: 500, ham: 100 }, holds(500, 100));
  expect(result).toMatchObject({ gained: { spam: 500, ham: 100 }, missing: 0, confirmed: true });
  expect(result.tookMs).toBeGreaterThan(60_000);
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
