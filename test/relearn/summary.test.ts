import { describe, expect, test } from 'vitest';
import { RunStats } from '../../src/relearn/stats.ts';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import { inWords, summarize } from '../../src/relearn/summary.ts';
import type { Summary, SummaryInput } from '../../src/relearn/summary.ts';
import { HELD } from '../support/scripted-trainer.ts';

const GAIN: Gain = {
  before: { spam: 0, ham: 0 },
  after: { spam: 300, ham: 250 },
  gained: { spam: 300, ham: 250 },
  missing: 0,
  lack: 0,
  confirmed: true,
};

const LEFT = [{ place: '/archive/spam/a.eml', reason: 'connection refused' }];

function summaryOf(
  fill: (stats: RunStats) => void,
  input: Partial<SummaryInput> = {},
): { summary: Summary; text: string } {
  const stats = new RunStats(() => undefined);
  fill(stats);
  const summary = summarize({
    stats,
    ending: 'complete',
    left: [],
    gain: GAIN,
    learningMs: 10_000,
    confirmingMs: 500,
    resume: 'kopano-learnd relearn /archive',
    ...input,
  });
  return { summary, text: inWords(summary) };
}

function learn(stats: RunStats, count: number): void {
  for (let i = 0; i < count; i += 1)
    stats.finished(`${i}`, 'spam', { kind: 'learned', proven: true });
}

function know(stats: RunStats, count: number): void {
  for (let i = 0; i < count; i += 1) stats.finished(`${i}`, 'ham', { kind: 'duplicate' });
}

describe('the exit code', () => {
  const fail = (stats: RunStats): void => {
    stats.found({ kind: 'failed', place: '/x', reason: 'ENOENT' }, 'spam');
  };
  test.each<[string, (stats: RunStats) => void, Partial<SummaryInput>, number]>([
    [
      'is 0 when all is done',
      (stats) => {
        learn(stats, 5);
      },
      {},
      0,
    ],
    ['is 0 at the limit', () => undefined, { ending: 'limited' }, 0],
    [
      'is 0 for what was not mail',
      (stats) => {
        stats.found({ kind: 'skipped', place: '/x', reason: 'empty' }, 'spam');
      },
      {},
      0,
    ],
    ['is 1 when something failed', fail, {}, 1],
    ['is 75 when something is left', () => undefined, { left: LEFT, ending: 'away' }, 75],
    [
      'is 75 when a proxy has held something back',
      (stats) => {
        stats.held('/x', 'spam', HELD);
      },
      {},
      75,
    ],
    ['is 75 after a stop', () => undefined, { ending: 'interrupted' }, 75],
    [
      'is 75 when neither a proof nor a count shows that something was stored',
      (stats) => {
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      { gain: { ...GAIN, gained: undefined, after: undefined } },
      75,
    ],
    [
      "is 75 when Bayes' count lacks as many as were not proven, however few",
      (stats) => {
        learn(stats, 500);
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      { gain: { ...GAIN, lack: 1 } },
      75,
    ],
    [
      "is 75 when a stop ended the wait for Bayes' count of what was not proven",
      (stats) => {
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      { gain: { ...GAIN, confirmed: false } },
      75,
    ],
    [
      'is 0 when the counts can’t be compared',
      (stats) => {
        learn(stats, 500);
      },
      { gain: { ...GAIN, gained: undefined } },
      0,
    ],
    [
      'is 0 when the counts can’t be compared, and others show that rspamd stored what came',
      (stats) => {
        learn(stats, 500);
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      { gain: { ...GAIN, gained: undefined } },
      0,
    ],
    [
      'is 75 when the counts can’t be compared, and nothing at all is proven',
      (stats) => {
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      { gain: { ...GAIN, gained: undefined } },
      75,
    ],
    [
      "is 0 when Bayes' count holds what was not proven",
      (stats) => {
        stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
      },
      {},
      0,
    ],
    [
      'is 75 when Bayes lacks what was learned',
      () => undefined,
      { gain: { ...GAIN, missing: 7 } },
      75,
    ],
    ['is 1 when something is left and something failed', fail, { left: LEFT, ending: 'away' }, 1],
  ])('%s', (_what, fill, input, code) => {
    expect(summaryOf(fill, input).summary.exitCode).toBe(code);
  });
});

test('the command that goes on is told when something is left, and only then', () => {
  expect(summaryOf(() => undefined).text).not.toContain('kopano-learnd relearn');
  const { text, summary } = summaryOf(() => undefined, { ending: 'interrupted', left: LEFT });
  expect(text).toContain('kopano-learnd relearn /archive');
  expect(summary.resume).toBe('kopano-learnd relearn /archive');
  expect(text).toMatch(/left over +1/);
  expect(text).toContain('/archive/spam/a.eml: connection refused');
});

test('reasons are counted, without what differs from message to message', () => {
  const { summary, text } = summaryOf((stats) => {
    for (const id of ['a', 'b']) {
      const reason = `204 <${id}> contains less tokens than required for bayes classifier: 3 < 11`;
      stats.finished(id, 'spam', { kind: 'refused', reason });
    }
    stats.finished('c', 'ham', {
      kind: 'refused',
      reason: '204 all learn conditions denied learning ham',
    });
  });
  expect(summary.reasons.refused).toEqual({
    'too few words for Bayes': 2,
    'Bayes is sure of it already': 1,
  });
  expect(text).toContain('2 x too few words for Bayes; 1 x Bayes is sure of it already');
});

test('what was learned without proof is counted as learned, and named', () => {
  const { summary, text } = summaryOf((stats) => {
    learn(stats, 2);
    stats.finished('/archive/spam/urls.eml', 'spam', {
      kind: 'learned',
      proven: false,
      reason: 'no proof',
    });
  });
  expect(summary.learned).toEqual({ spam: 3, ham: 0 });
  expect(summary.names.learned.map(({ place }) => place)).toEqual(['/archive/spam/urls.eml']);
  expect(text).toMatch(/learned +3 +0 +1 x rspamd said "learned" to every post/);
  expect(text).toContain('Learned without proof:\n  /archive/spam/urls.eml: rspamd said');
});

test('the first few names are kept, of any number', () => {
  const { summary, text } = summaryOf((stats) => {
    for (let i = 0; i < 1_000; i += 1) {
      stats.found({ kind: 'failed', place: `/archive/${i}`, reason: `EIO ${i}` }, 'ham');
    }
  });
  expect(summary.names.failed).toHaveLength(10);
  expect(Object.keys(summary.reasons.failed)).toHaveLength(50);
  expect(text).toContain('/archive/0: EIO 0');
  expect(text).toContain('and 990 more');
});

describe('Bayes', () => {
  test('judges with enough of both classes', () => {
    const { summary, text } = summaryOf((stats) => {
      learn(stats, 5);
    });
    expect(summary.bayes).toMatchObject({ active: true, minLearns: 200 });
    expect(text).toContain('Bayes holds 300 spam and 250 ham, gained +300 and +250.');
  });

  test('is silent with too few, and how many are missing is told', () => {
    const gain = { ...GAIN, after: { spam: 150, ham: 250 } };
    const { summary, text } = summaryOf(() => undefined, { gain });
    expect(summary.bayes.active).toBe(false);
    expect(text).toContain('50 spam missing');
  });

  test('whose counts can’t be compared is said to, with both', () => {
    const before = { spam: 5_000, ham: 4_000 };
    const { summary, text } = summaryOf(
      (stats) => {
        learn(stats, 300);
      },
      { gain: { ...GAIN, before, gained: undefined } },
    );
    expect(summary.bayes).toMatchObject({ before, gained: null, missing: 0 });
    expect(text).toContain('Bayes holds 300 spam and 250 ham.');
    expect(text).toContain("can't be told: before, rspamd said 5000 and 4000");
    expect(text).not.toContain('lacks');
  });

  test('that tells nothing is said to', () => {
    const gain = {
      before: undefined,
      after: undefined,
      gained: undefined,
      missing: 0,
      lack: 0,
      confirmed: true,
    };
    const { summary, text } = summaryOf(() => undefined, { gain });
    expect(summary.bayes).toMatchObject({ now: null, active: null });
    expect(text).toContain('did not tell');
  });

  test('that lacks what was learned is said to', () => {
    const { text } = summaryOf(
      (stats) => {
        learn(stats, 100);
      },
      { gain: { ...GAIN, missing: 7 } },
    );
    expect(text).toContain('lacks 7 messages');
  });

  test('that has forgotten what its list of learned messages still has is told with the cure', () => {
    const after = { spam: 0, ham: 2 };
    const gain = {
      before: after,
      after,
      gained: { spam: 0, ham: 0 },
      missing: 0,
      lack: 0,
      confirmed: true,
    };
    const { summary, text } = summaryOf(
      (stats) => {
        know(stats, 100);
        learn(stats, 2);
      },
      { gain },
    );
    expect(summary.bayes.forgotten).toBe(true);
    expect(text).toContain('redis-cli');
  });

  test('that holds what is known has forgotten nothing', () => {
    const { summary } = summaryOf((stats) => {
      know(stats, 500);
    });
    expect(summary.bayes.forgotten).toBe(false);
  });
});
