import { beforeEach, expect, test } from 'vitest';
import { bayesBefore } from '../../src/relearn/bayes-gain.ts';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import { VERDICTS } from '../../src/verdict.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';

type Counts = readonly [spam: number, ham: number];

let clock: ManualClock;
let trainer: ScriptedTrainer;
let stats: RunStats;

beforeEach(() => {
  clock = new ManualClock();
  trainer = new ScriptedTrainer();
  stats = new RunStats(VERDICTS);
});

/** What rspamd says from now on. */
function says(held: Counts | undefined): void {
  const [spam, ham] = held ?? [];
  trainer.figures = { hasBackend: true, uptimeSeconds: 100, learned: { spam, ham } };
}

function learn([spam, ham]: Counts, proven = true): void {
  const disposition = proven
    ? ({ kind: 'learned', proven } as const)
    : ({ kind: 'learned', proven, reason: 'no proof' } as const);
  for (let i = 0; i < spam; i += 1) stats.finished(`s${i}`, 'spam', disposition);
  for (let i = 0; i < ham; i += 1) stats.finished(`h${i}`, 'ham', disposition);
}

/** What a run gained between two counts, and how long it took to be told. */
async function gainOf(
  before: Counts | undefined,
  after: Counts | undefined,
  stop = new AbortController().signal,
): Promise<Gain & { readonly tookMs: number }> {
  says(before);
  const gainOf = await bayesBefore([trainer], clock);
  const startedAt = clock.monotonic();
  says(after);
  let gain: Gain | undefined;
  void gainOf(stats, stop).then((value) => {
    gain = value;
  });
  await clock.flowUntil('it is over', () => gain !== undefined);
  if (gain === undefined) throw new Error('it is not over');
  return { ...gain, tookMs: clock.monotonic() - startedAt };
}

const unknown = { gained: undefined, missing: 0, confirmed: true };

const NONE = undefined;
const gained = (spam: number, ham: number) => ({ gained: { spam, ham }, missing: 0 });
type Row = [string, Counts | undefined, Counts, Counts | undefined, Partial<Gain>, minute?: true];

// Spam and ham: before, of what was learned, and after.
test.each<Row>([
  ['shows at once where all is there', [10, 20], [5, 7], [15, 27], gained(5, 7)],
  ['lacks what never shows', [0, 0], [50, 50], [45, 50], { missing: 5 }, true],
  ['lacks it in a store that held more', [900, 900], [50, 0], [920, 900], { missing: 30 }, true],
  ['lacks what no turned verdict explains', [900, 20], [50, 50], [920, 20], { missing: 30 }, true],
  ['lacks nothing within 2 %', [100, 100], [50, 50], [149, 150], { missing: 0 }, true],
  // Verdicts were turned, to one class or to both.
  ['may be a loss of one class', [100, 100], [40, 0], [140, 60], gained(40, -40)],
  ['may be less than was learned', [100, 100], [20, 30], [90, 110], gained(-10, 10), true],
  // Bayes was emptied a moment before, unless all was turned. Real mail is counted up to 5 % higher.
  ['is not known: the same as before', [300, 300], [300, 300], [300, 300], unknown, true],
  ['is not known: just what was learned', [510, 300], [500, 100], [500, 100], unknown, true],
  ['is not known: somewhat more', [510, 300], [500, 100], [525, 105], unknown, true],
  ['is not known: more than before', [400, 100], [500, 100], [500, 100], unknown, true],
  // Bayes was emptied during the run.
  ['lacks what went', [5e3, 5e3], [500, 100], [200, 50], { ...unknown, missing: 350 }, true],
  // rspamd did not tell before, or after.
  ['is not known then', NONE, [5, 5], [9, 9], unknown],
  ['lacks what an empty store lacks then', NONE, [5, 5], [0, 5], { missing: 5 }, true],
  ['is not known either', NONE, [5, 5], NONE, { after: NONE, ...unknown }],
])('what Bayes gained %s', async (_what, before, learned, after, expected, minute) => {
  learn(learned);
  const { tookMs, ...gain } = await gainOf(before, after);
  expect(gain).toMatchObject(expected);
  expect(tookMs).toBeLessThan(minute === true ? 70_000 : 100);
  if (minute === true) expect(tookMs).toBeGreaterThan(60_000);
});

test('a count that lacks as many as have no proof is a lack, however few they are', async () => {
  learn([500, 500]);
  learn([1, 0], false);
  expect(await gainOf([0, 0], [500, 500])).toMatchObject({ missing: 1 });
});

test('an old count is waited for', async () => {
  learn([50, 50]);
  clock.after(50_000, () => says([50, 50]));
  const gain = await gainOf([0, 0], [0, 0]);
  expect(gain).toMatchObject({ gained: { spam: 50, ham: 50 }, missing: 0 });
  expect(gain.tookMs).toBeGreaterThan(49_000);
});

test('after a stop it is asked once, not confirmed, and nothing is said to be missing', async () => {
  learn([50, 50]);
  const gain = await gainOf([0, 0], [10, 10], AbortSignal.abort());
  expect(gain).toMatchObject({ gained: { spam: 10, ham: 10 }, confirmed: false, missing: 0 });
  expect(gain.tookMs).toBeLessThan(100);
});

test('where all was known, the count is no older than the run', async () => {
  for (let i = 0; i < 100; i += 1) stats.finished(`${i}`, 'ham', { kind: 'duplicate' });
  clock.after(55_000, () => says([0, 0]));
  const gain = await gainOf([60, 60], [60, 60]);
  expect(gain).toMatchObject({ after: { spam: 0, ham: 0 }, gained: undefined, missing: 0 });
  expect(gain.tookMs).toBeGreaterThan(55_000);
});
