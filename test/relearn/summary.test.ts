import { describe, expect, test } from 'vitest';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import type { Found } from '../../src/relearn/sources/source.ts';
import { FOLDERS_KEPT, RunStats } from '../../src/relearn/stats.ts';
import { folderLines, inWords, summarize } from '../../src/relearn/summary.ts';
import type { Summary, SummaryInput } from '../../src/relearn/summary.ts';
import type { Verdict } from '../../src/verdict.ts';
import { HELD } from '../support/scripted-trainer.ts';

const GAIN: Gain = {
  before: { spam: 0, ham: 0 },
  after: { spam: 300, ham: 250 },
  gained: { spam: 300, ham: 250 },
  missing: 0,
  lack: 0,
  confirmed: true,
};
const UNTOLD: Gain = { ...GAIN, before: undefined, after: undefined, gained: undefined };
const LEFT = [{ place: '/archive/spam/a.eml', reason: 'connection refused' }];
const UNPROVEN = { kind: 'learned', proven: false, reason: 'no proof' } as const;
const JUNK = 'a junk folder, which holds no ham';

type Fill = (stats: RunStats) => void;

function summaryOf(
  fill: Fill,
  input: Partial<SummaryInput> = {},
): { summary: Summary; text: string } {
  const stats = new RunStats(() => undefined);
  fill(stats);
  const summary = summarize({
    ...{ stats, ending: 'complete', left: [], gain: GAIN, learningMs: 10_000, confirmingMs: 500 },
    resume: 'kopano-learnd relearn /archive',
    ...input,
  });
  return { summary, text: inWords(summary) };
}

function nothing(): void {
  // nothing came of anything
}

const learn =
  (count: number): Fill =>
  (stats) => {
    for (let i = 0; i < count; i += 1) {
      stats.finished(`${i}`, 'spam', { kind: 'learned', proven: true });
    }
  };

const know =
  (count: number): Fill =>
  (stats) => {
    for (let i = 0; i < count; i += 1) stats.finished(`${i}`, 'ham', { kind: 'duplicate' });
  };

const find =
  (found: Found, verdict: Verdict = 'spam'): Fill =>
  (stats) => {
    stats.found(found, verdict);
  };

const leaveUnproven: Fill = (stats) => {
  stats.finished('/x', 'spam', UNPROVEN);
};

const both =
  (...fills: readonly Fill[]): Fill =>
  (stats) => {
    for (const fill of fills) fill(stats);
  };

const fail = find({ kind: 'failed', place: '/x', reason: 'ENOENT' });
const hold: Fill = (stats) => {
  stats.held('/x', 'spam', HELD);
};

describe('the exit code', () => {
  test.each<[number, string, Fill, Partial<SummaryInput>?]>([
    [0, 'all is done', learn(5)],
    [0, 'the limit is reached', nothing, { ending: 'limited' }],
    [0, 'something was not mail', find({ kind: 'skipped', place: '/x', reason: 'empty' })],
    [1, 'something failed', fail],
    [1, 'something failed and something is left', fail, { left: LEFT, ending: 'away' }],
    [75, 'something is left', nothing, { left: LEFT, ending: 'away' }],
    [75, 'a proxy has held something back', hold],
    [75, 'it was stopped', nothing, { ending: 'interrupted' }],
    [75, 'Bayes lacks what was learned', nothing, { gain: { ...GAIN, missing: 7 } }],
    [0, "counts can't be compared", learn(500), { gain: { ...GAIN, gained: undefined } }],
    [0, "Bayes' count holds what was not proven", leaveUnproven],
    [75, 'neither proof nor count shows that it is stored', leaveUnproven, { gain: UNTOLD }],
    [
      75,
      "Bayes' count lacks as many as were not proven, however few",
      both(learn(500), leaveUnproven),
      { gain: { ...GAIN, lack: 1 } },
    ],
    [
      75,
      "a stop ended the wait for Bayes' count of what was not proven",
      leaveUnproven,
      { gain: { ...GAIN, confirmed: false } },
    ],
    [
      0,
      'counts can’t be compared, and others show that rspamd stored what came',
      both(learn(500), leaveUnproven),
      { gain: { ...GAIN, gained: undefined } },
    ],
    [
      75,
      'counts can’t be compared, and nothing at all is proven',
      leaveUnproven,
      { gain: { ...GAIN, gained: undefined } },
    ],
  ])('is %i when %s', (code, _what, fill, input) => {
    expect(summaryOf(fill, input).summary.exitCode).toBe(code);
  });
});

describe('the text', () => {
  test('never says "Done" of what failed', () => {
    expect(summaryOf(nothing).text).toMatch(/^Done/);
    expect(summaryOf(fail).text).toMatch(/^Nothing was learned/);
    expect(summaryOf(both(fail, learn(1))).text).toMatch(/^Ended with failures/);
  });

  test('has the command that goes on when something is left, and only then', () => {
    expect(summaryOf(nothing).text).not.toContain('kopano-learnd relearn');
    const { text, summary } = summaryOf(nothing, { ending: 'interrupted', left: LEFT });
    expect(text).toContain('kopano-learnd relearn /archive');
    expect(summary.resume).toBe('kopano-learnd relearn /archive');
    expect(text).toMatch(/left over +1/);
    expect(text).toContain('/archive/spam/a.eml: connection refused');
  });

  test('has the reasons, without what differs from message to message', () => {
    const { summary, text } = summaryOf((stats) => {
      for (const id of ['a', 'b']) {
        const reason = `204 <${id}> contains less tokens than required for bayes classifier: 3 < 11`;
        stats.finished(id, 'spam', { kind: 'refused', reason });
      }
      const reason = '204 all learn conditions denied learning ham';
      stats.finished('c', 'ham', { kind: 'refused', reason });
    });
    expect(summary.reasons.refused).toEqual({
      'too few words for Bayes': 2,
      'Bayes is sure of it already': 1,
    });
    expect(text).toContain('2 x too few words for Bayes; 1 x Bayes is sure of it already');
  });

  test('counts what was learned without proof as learned, and names it', () => {
    const { summary, text } = summaryOf(both(learn(2), leaveUnproven));
    expect(summary.learned).toEqual({ spam: 3, ham: 0 });
    expect(summary.names.learned.map(({ place }) => place)).toEqual(['/x']);
    expect(text).toMatch(/learned +3 +0 +1 x rspamd said "learned" to every post/);
    expect(text).toContain('Learned without proof:\n  /x: rspamd said');
  });

  test('has the first few names, of any number', () => {
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

  test('counts and tells what SpamAssassin had wrapped', () => {
    const body = Buffer.alloc(0);
    const fill = find({ kind: 'message', place: '/x', body, isUnwrapped: true });
    const { summary, text } = summaryOf(fill);
    expect(summary.unwrapped).toEqual({ spam: 1, ham: 0 });
    expect(text).toContain('1 message had been wrapped by SpamAssassin');
  });

  test('names the results as scripts know them', () => {
    const { summary } = summaryOf(
      both(
        know(3),
        hold,
        find({ kind: 'older', place: '/o' }),
        find({ kind: 'done', place: '/d' }),
      ),
    );
    expect(summary).toMatchObject({
      known: { spam: 0, ham: 3 },
      heldBack: { spam: 1, ham: 0 },
      older: { spam: 1, ham: 0 },
      doneBefore: { spam: 1, ham: 0 },
      cure: HELD.hint,
      names: { heldBack: [{ place: '/x', reason: HELD.reason }] },
    });
  });
});

test('what fails for the same reason is told at once only the first few times', () => {
  const told: string[] = [];
  const stats = new RunStats(({ place }) => told.push(place));
  for (let index = 0; index < 1_000; index += 1) {
    stats.found({ kind: 'failed', place: `/${index}`, reason: 'xz: xzcat FILE' }, 'spam');
  }
  stats.found({ kind: 'failed', place: '/y', reason: 'EIO' }, 'spam');
  expect(told).toHaveLength(11);
  expect(stats.counts.failed.spam).toBe(1_001);
});

describe('every folder is listed with the number of its messages', () => {
  const lie =
    (folder: string, count: number, verdict: Verdict = 'ham'): Fill =>
    (stats) => {
      for (let index = 0; index < count; index += 1) {
        const place = `${folder}/${index}`;
        stats.found({ kind: 'message', place, body: Buffer.alloc(0), folder }, verdict);
      }
    };
  const passOver =
    (folder: string, count: number): Fill =>
    (stats) => {
      for (let index = 0; index < count; index += 1) {
        const place = `${folder}/${index}`;
        stats.found({ kind: 'passed', place, folder, reason: JUNK, isByFolder: true }, 'ham');
      }
    };

  test('and those that are passed over with the reason', () => {
    const done = find({ kind: 'done', place: '/m/x', folder: '/m' }, 'ham');
    const fill = both(lie('/m', 12), lie('/m/.Archive', 3), passOver('/m/.Junk', 7), done);
    const { summary, text } = summaryOf(fill);
    expect(summary.passedOver).toEqual({ spam: 0, ham: 7 });
    expect(summary.folders).toEqual([
      { folder: '/m', verdict: 'ham', messages: 13, passedOver: null },
      { folder: '/m/.Archive', verdict: 'ham', messages: 3, passedOver: null },
      { folder: '/m/.Junk', verdict: 'ham', messages: 7, passedOver: JUNK },
    ]);
    expect(text).toMatch(/ham +13 {2}\/m\n/);
    expect(text).toMatch(/ham +7 {2}\/m\/\.Junk: a junk folder, which holds no ham\n/);
    expect(text).toMatch(/passed over +0 +7\n/);
  });

  test('once: one that is named besides is not passed over', () => {
    const { summary } = summaryOf(both(passOver('/m/.Junk', 7), lie('/m/.Junk', 1, 'spam')));
    expect(summary.folders).toEqual([
      { folder: '/m/.Junk', verdict: 'spam', messages: 1, passedOver: null },
    ]);
  });

  test('of however many there are', () => {
    const stats = new RunStats(() => undefined);
    for (let index = 0; index < 2 * FOLDERS_KEPT; index += 1) lie(`/m/${index}`, 2)(stats);
    expect(stats.folders).toHaveLength(FOLDERS_KEPT);
    expect(folderLines(stats.folders).at(-1)).toBe('  and 900 more with 1800 messages');
  });

  test('and deleted messages are counted by their reasons, and named', () => {
    const reason = 'deleted (X-Mozilla-Status)';
    const { summary, text } = summaryOf((stats) => {
      for (let index = 0; index < 12; index += 1) {
        stats.found({ kind: 'passed', place: `/box#${index}`, reason, folder: '/box' }, 'spam');
      }
      passOver('/m/.Junk', 100)(stats);
    });
    expect(summary.reasons.passedOver).toEqual({ [reason]: 12 });
    expect(text).toContain(`Passed over:\n  /box#0: ${reason}`);
    expect(text).toContain('and 2 more');
  });
});

describe('Bayes', () => {
  const before = { spam: 5_000, ham: 4_000 };
  const few = { spam: 150, ham: 250 };
  const emptied = { ...GAIN, before: { spam: 0, ham: 2 }, after: { spam: 0, ham: 2 } };

  test.each<[string, Fill, Gain, object, string]>([
    [
      'judges with enough of both classes',
      learn(5),
      GAIN,
      { active: true, minLearns: 200, forgotten: false },
      'Bayes holds 300 spam and 250 ham, gained +300 and +250.',
    ],
    [
      'is silent with too few',
      nothing,
      { ...GAIN, after: few },
      { active: false },
      '50 spam missing',
    ],
    [
      'whose counts can’t be compared is said to, with both',
      learn(300),
      { ...GAIN, before, gained: undefined },
      { before, gained: null, missing: 0 },
      "can't be told: before, rspamd said 5000 and 4000",
    ],
    ['that tells nothing is said to', nothing, UNTOLD, { now: null, active: null }, 'did not tell'],
    [
      'that lacks what was learned is said to',
      learn(100),
      { ...GAIN, missing: 7 },
      { missing: 7 },
      'lacks 7 messages',
    ],
    [
      'whose list of learned messages outlived it is told with the cure',
      both(know(100), learn(2)),
      emptied,
      { forgotten: true },
      'redis-cli',
    ],
    ['that holds what is known is well', know(500), GAIN, { forgotten: false }, 'It judges'],
  ])('%s', (_what, fill, gain, bayes, words) => {
    const { summary, text } = summaryOf(fill, { gain });
    expect(summary.bayes).toMatchObject(bayes);
    expect(text).toContain(words);
    expect(text.includes('lacks')).toBe(gain.missing > 0);
  });
});
