import { beforeEach, describe, expect, test } from 'vitest';
import { BayesGain } from '../../src/relearn/bayes-gain.ts';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';

type Counts = readonly [spam: number, ham: number];

let clock: ManualClock;
let trainer: ScriptedTrainer;
let gain: BayesGain;
let posted = { spam: 0, ham: 0 };
const stop = new AbortController();

beforeEach(() => {
  clock = new ManualClock();
  trainer = new ScriptedTrainer();
  posted = { spam: 0, ham: 0 };
  gain = new BayesGain({ trainers: [trainer], clock, postedSoFar: () => posted });
});

/** What rspamd says from now on. */
function says(held: Counts | undefined): void {
  const [spam, ham] = held ?? [];
  trainer.figures = {
    ...{ hasBackend: true, uptimeSeconds: 100 },
    learned: { spam, ham },
  } satisfies Statistics;
}

async function begin(held: Counts | undefined): Promise<void> {
  says(held);
  await gain.begin(stop.signal);
}

/** What the end of a run comes to when rspamd says this from then on. */
async function end(
  [spam, ham]: Counts,
  held: Counts | undefined,
  { signal = stop.signal, wantsFresh = false } = {},
): Promise<Gain & { tookMs: number }> {
  says(held);
  const before = clock.monotonic();
  let result: Gain | undefined;
  void gain.end({ learned: { spam, ham }, wantsFresh, stop: signal }).then((value) => {
    result = value;
  });
  await clock.flowUntil('it is over', () => result !== undefined);
  if (result === undefined) throw new Error('it is not over');
  return { ...result, tookMs: clock.monotonic() - before };
}

describe('what Bayes gained', () => {
  const emptied = { gained: undefined, missing: 0, lack: 0, confirmed: true };

  // Spam and ham: before, of what was learned, and after.
  type Six = readonly [number, number, number, number, number, number];

  test.each<[string, Six, Partial<Gain>, minute?: true]>([
    [
      'is told where the figures show all that was learned',
      [10, 20, 5, 7, 15, 27],
      { gained: { spam: 5, ham: 7 }, missing: 0 },
    ],
    ['lacks what never shows', [0, 0, 50, 50, 45, 50], { missing: 5 }, true],
    ['lacks nothing within 2 %', [100, 100, 50, 50, 149, 150], { missing: 0 }, true],
    [
      'may be a loss of one class, where verdicts were turned',
      [100, 100, 40, 0, 140, 60],
      { gained: { spam: 40, ham: -40 }, missing: 0 },
    ],
    // Bayes was emptied a moment before. Real mail is counted up to 5 % higher.
    ['is not known: just what was learned', [510, 300, 500, 100, 500, 100], emptied, true],
    ['is not known: more', [510, 300, 500, 100, 525, 105], emptied, true],
    ['is not known: about as before', [510, 300, 500, 100, 520, 300], emptied, true],
    ['is not known: more than before', [510, 300, 500, 100, 600, 310], emptied, true],
    [
      'lacks what was learned where Bayes was emptied during the run',
      [5_000, 5_000, 500, 100, 200, 50],
      { gained: undefined, missing: 350 },
      true,
    ],
    [
      'lacks nothing for certain of a store that held more, however little that grew',
      [5_000, 5_000, 500, 100, 5_000, 5_000],
      { gained: undefined, missing: 0, lack: 0 },
      true,
    ],
  ])('%s', async (_what, [spam, ham, newSpam, newHam, spamAfter, hamAfter], expected, minute) => {
    await begin([spam, ham]);
    const { tookMs, ...result } = await end([newSpam, newHam], [spamAfter, hamAfter]);
    expect(result).toMatchObject(expected);
    expect(tookMs).toBeLessThan(minute === true ? 70_000 : 100);
    if (minute === true) expect(tookMs).toBeGreaterThan(60_000);
  });

  test('is not known where rspamd did not tell before', async () => {
    await begin(undefined);
    const told = { before: undefined, gained: undefined, missing: 0, after: { spam: 0, ham: 0 } };
    expect(await end([5, 5], [0, 0])).toMatchObject(told);
  });

  test('is waited for while the figures are old', async () => {
    await begin([0, 0]);
    clock.after(50_000, () => {
      says([50, 50]);
    });
    const result = await end([50, 50], [0, 0]);
    expect(result).toMatchObject({ gained: { spam: 50, ham: 50 }, missing: 0 });
    expect(result.tookMs).toBeGreaterThan(49_000);
  });

  test('counts from the first time that rspamd tells, and not what was posted by then', async () => {
    await begin(undefined);
    await clock.flow(2_000, 100);
    posted = { spam: 1, ham: 0 };
    says([1, 1]);
    await clock.flow(1_000, 100);
    says([3, 3]);
    await clock.flow(1_000, 100);
    const result = await end([5, 4], [5, 5]);
    expect(result).toMatchObject({ gained: { spam: 4, ham: 4 }, missing: 0 });
    expect(result.tookMs).toBeLessThan(100);
  });

  test('is asked once after a stop, not confirmed, and nothing is said to be missing', async () => {
    await begin([0, 0]);
    const result = await end([50, 50], [10, 10], { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ gained: { spam: 10, ham: 10 }, confirmed: false, missing: 0 });
    expect(result.tookMs).toBeLessThan(100);
  });

  test('is no older than the run where more depends on it: all was known', async () => {
    await begin([60, 60]);
    clock.after(55_000, () => {
      says([0, 0]);
    });
    const result = await end([0, 0], [60, 60], { wantsFresh: true });
    expect(result).toMatchObject({ after: { spam: 0, ham: 0 }, gained: undefined, missing: 0 });
    expect(result.tookMs).toBeGreaterThan(55_000);
  });
});

describe('a run that lasts has a fresh count after its first minute, and', () => {
  test('lacks what it learned after that', async () => {
    await begin([9_000, 9_000]);
    says([5_000, 5_000]);
    await clock.flow(61_000, 100);
    posted = { spam: 1_000, ham: 1_000 };
    await clock.flow(2_000, 100);
    posted = { spam: 1_500, ham: 1_400 };
    expect(await end([1_500, 1_400], [5_500, 5_300])).toMatchObject({ missing: 100 });
  });

  test('lacks nothing where all of it came after that', async () => {
    await begin([9_000, 9_000]);
    says([1_000, 1_000]);
    await clock.flow(63_000, 100);
    const result = await end([1_500, 1_400], [2_500, 2_400]);
    expect(result).toMatchObject({ gained: undefined, missing: 0 });
  });

  test('waits for it until rspamd tells', async () => {
    await begin([9_000, 9_000]);
    says(undefined);
    await clock.flow(70_000, 100);
    says([2_000, 2_000]);
    await clock.flow(1_000, 100);
    expect(await end([50, 0], [2_000, 2_000])).toMatchObject({ missing: 50 });
  });
});
