import { describe, expect, test } from 'vitest';
import type { Gain } from '../../src/relearn/bayes-gain.ts';
import type { Found } from '../../src/relearn/sources/source.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import { inWords, summarize } from '../../src/relearn/summary.ts';
import type { Summary, SummaryInput } from '../../src/relearn/summary.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import { HELD } from '../support/scripted-trainer.ts';

const GAIN: Gain = {
  before: { spam: 0, ham: 0 },
  after: { spam: 300, ham: 250 },
  gained: { spam: 300, ham: 250 },
  missing: 0,
  confirmed: true,
};
const UNTOLD: Gain = { ...GAIN, before: undefined, after: undefined, gained: undefined };
const LEFT = [{ place: '/archive/spam/a.eml', reason: 'connection refused' }];
const JUNK = 'a junk folder, which holds no ham';

type Fill = (stats: RunStats) => void;

function summaryOf(
  fills: readonly Fill[],
  input: Partial<SummaryInput> = {},
): { summary: Summary; text: string } {
  const stats = new RunStats(VERDICTS);
  for (const fill of fills) fill(stats);
  const summary = summarize({
    filter: 'rspamd',
    stats,
    ending: 'complete',
    left: [],
    gain: GAIN,
    sample: undefined,
    userless: 0,
    learningMs: 10_000,
    confirmingMs: 500,
    resume: 'kopano-learnd relearn /archive',
    ...input,
  });
  return { summary, text: inWords(summary, Infinity) };
}

const times =
  (count: number, fill: (stats: RunStats, index: number) => void): Fill =>
  (stats) => {
    for (let index = 0; index < count; index += 1) fill(stats, index);
  };

const learn = (count: number): Fill =>
  times(count, (stats, index) => {
    stats.finished(`${index}`, 'spam', { kind: 'learned', proven: true });
  });

const know = (count: number): Fill =>
  times(count, (stats, index) => stats.finished(`${index}`, 'ham', { kind: 'duplicate' }));

const find =
  (found: Found, verdict: Verdict = 'spam'): Fill =>
  (stats) =>
    stats.found(found, verdict);

const lie = (folder: string, count: number, verdict: Verdict = 'ham'): Fill =>
  times(count, (stats, index) => {
    const place = `${folder}/${index}`;
    stats.found({ kind: 'message', place, body: Buffer.alloc(0), folder }, verdict);
  });

const passOver = (folder: string, count: number): Fill =>
  times(count, (stats, index) => {
    const place = `${folder}/${index}`;
    stats.found({ kind: 'passedOver', place, folder, reason: JUNK, isByFolder: true }, 'ham');
  });

const leaveUnproven: Fill = (stats) => {
  stats.finished('/x', 'spam', { kind: 'learned', proven: false, reason: 'no proof' });
};
const fail = find({ kind: 'failed', place: '/x', reason: 'ENOENT' });
const hold: Fill = (stats) => stats.held('/x', 'spam', HELD);

test.each<[number, string, readonly Fill[], Partial<SummaryInput>?]>([
  [0, 'all is done', [learn(5)]],
  [0, 'the limit is reached', [], { ending: 'limited' }],
  [0, 'something was not mail', [find({ kind: 'notMail', place: '/x', reason: 'empty' })]],
  [0, "counts can't be compared", [learn(500)], { gain: { ...GAIN, gained: undefined } }],
  [0, "Bayes' count holds what was not proven", [leaveUnproven]],
  [1, 'something failed', [fail]],
  [1, 'something failed and something is left', [fail], { left: LEFT, ending: 'away' }],
  [75, 'something is left', [], { left: LEFT }],
  [75, 'it was given up', [], { ending: 'away' }],
  [75, 'a proxy has held something back', [hold]],
  [75, 'it was stopped', [], { ending: 'interrupted' }],
  [75, 'Bayes lacks what was learned', [learn(500)], { gain: { ...GAIN, missing: 7 } }],
  [75, 'neither proof nor count shows a message', [leaveUnproven], { gain: UNTOLD }],
  [
    75,
    'a stop ended the wait for the count of what was not proven',
    [leaveUnproven],
    { gain: { ...GAIN, confirmed: false } },
  ],
])('the exit code is %i when %s', (code, _what, fills, input) => {
  expect(summaryOf(fills, input).summary.exitCode).toBe(code);
});

describe('the summary', () => {
  test('never says "Done" of what failed', () => {
    expect(summaryOf([]).text).toMatch(/^Done/);
    expect(summaryOf([fail]).text).toMatch(/^Failed, and learned nothing, after/);
    expect(summaryOf([fail, learn(1)]).text).toMatch(/^Ended with failures/);
  });

  test('has the command that goes on when something is left, and only then', () => {
    expect(summaryOf([]).text).not.toContain('kopano-learnd relearn');
    const { text, summary } = summaryOf([], { ending: 'interrupted', left: LEFT });
    expect(text).toContain('kopano-learnd relearn /archive');
    expect(summary.resume).toBe('kopano-learnd relearn /archive');
    expect(text).toMatch(/left over +1/);
    expect(text).toContain('/archive/spam/a.eml: connection refused');
  });

  test('has the reasons, without what differs from message to message', () => {
    const refuse = (verdict: Verdict, reason: string): Fill =>
      times(2, (stats, index) => {
        stats.finished('m', verdict, { kind: 'refused', reason: `204 <${index}> ${reason}` });
      });
    const { summary, text } = summaryOf([
      refuse('spam', 'contains less tokens than required for bayes classifier: 3 < 11'),
      refuse('ham', 'all learn conditions denied learning ham'),
    ]);
    const reasons = { 'too few words for Bayes': 2, 'Bayes is sure of it already': 2 };
    expect(summary.reasons.refused).toEqual(reasons);
    expect(text).toContain('2 x too few words for Bayes; 2 x Bayes is sure of it already');
  });

  test('says a reason that all have once, and in one sentence why it was given up', () => {
    const left = Array.from({ length: 12 }, (_, index) => ({
      place: `/${index}`,
      reason: 'connection refused',
    }));
    const { text } = summaryOf([], { ending: 'misconfigured', left });
    expect(text).toMatch(
      /^Given up after 10\.0 s, 0 messages a second: rspamd learns nothing until a setting is changed\.\n/,
    );
    expect(text).toContain('Left over (the first 10), connection refused:\n  /0\n  /1\n');
    expect(text.split('connection refused')).toHaveLength(2);
    expect(summaryOf([], { ending: 'away', left }).text).toMatch(
      /^Given up .*: rspamd learned nothing for too long\.\n/,
    );
  });

  test('counts what was learned without proof as learned, and names it', () => {
    const { summary, text } = summaryOf([learn(2), leaveUnproven]);
    expect(summary.learned).toEqual({ spam: 3, ham: 0 });
    expect(summary.names.learned.map(({ place }) => place)).toEqual(['/x']);
    expect(text).toContain('Learned without proof:\n  /x: the filter said');
  });

  test('has the first few names, of any number, and what fails is told at once as often', () => {
    const told: string[] = [];
    const stats = new RunStats(VERDICTS, ({ place }) => told.push(place));
    const failAs = (reason: string): Fill =>
      times(1_000, (_, index) => {
        find({ kind: 'failed', place: `/${index}`, reason }, 'ham')(stats);
      });
    failAs('xz: xzcat FILE')(stats);
    failAs('EIO')(stats);
    expect(told).toHaveLength(20);
    const { summary, text } = summaryOf([], { stats });
    expect(summary.failed.ham).toBe(2_000);
    expect(summary.names.failed).toHaveLength(10);
    expect(text).toContain('Failed (the first 10), xz: xzcat FILE:\n  /0\n');
  });

  test('names the results as scripts know them', () => {
    const older = find({ kind: 'older', place: '/o' });
    const done = find({ kind: 'doneBefore', place: '/d' });
    const reason = 'deleted (X-Mozilla-Status)';
    const deleted = find({ kind: 'passedOver', place: '/box#2', reason, folder: '/box' });
    const { summary, text } = summaryOf([know(3), hold, older, done, deleted]);
    expect(summary).toMatchObject({
      known: { spam: 0, ham: 3 },
      heldBack: { spam: 1, ham: 0 },
      older: { spam: 1, ham: 0 },
      doneBefore: { spam: 1, ham: 0 },
      passedOver: { spam: 1, ham: 0 },
      cure: HELD.hint,
      names: { heldBack: [{ place: '/x', reason: HELD.reason }] },
      reasons: { passedOver: { [reason]: 1 } },
    });
    expect(text).toMatch(/done before +1 +0/);
    expect(text).toContain(`Passed over:\n  /box#2: ${reason}`);
  });

  test('lists every folder with the number of its messages, or why it is passed over', () => {
    const done = find({ kind: 'doneBefore', place: '/m/x', folder: '/m' }, 'ham');
    const besides = [passOver('/m/.Spam', 7), lie('/m/.Spam', 1, 'spam')];
    const fills = [lie('/m', 12), lie('/m/.Archive', 3), passOver('/m/.Junk', 7), done];
    const { summary, text } = summaryOf([...fills, ...besides]);
    expect(summary.passedOver).toEqual({ spam: 0, ham: 14 });
    expect(summary.folders).toEqual([
      { folder: '/m', verdict: 'ham', messages: 13, passedOver: null },
      { folder: '/m/.Archive', verdict: 'ham', messages: 3, passedOver: null },
      { folder: '/m/.Junk', verdict: 'ham', messages: 7, passedOver: JUNK },
      // One that is named besides is not passed over.
      { folder: '/m/.Spam', verdict: 'spam', messages: 1, passedOver: null },
    ]);
    expect(text).toMatch(/ham +13 {2}\/m\n/);
    expect(text).toMatch(/ham +7 {2}\/m\/\.Junk: a junk folder, which holds no ham\n/);
  });

  test('fits a terminal, but for names and the command that goes on, which are whole', () => {
    const resume =
      `kopano-learnd relearn --journal /var/tmp/a ${'/srv/mail/anna '.repeat(9)}`.trim();
    const reason = `500 ${'no room '.repeat(20)}`.trim();
    const { summary } = summaryOf(
      [
        know(100),
        fail,
        find({ kind: 'notMail', place: '/not mail', reason }),
        passOver(`/srv/mail/anna/Maildir/.${'Junk '.repeat(20)}`, 7),
      ],
      {
        ending: 'misconfigured',
        left: [{ place: '/archive/spam/a.eml', reason }],
        gain: {
          ...GAIN,
          gained: undefined,
          after: { spam: 0, ham: 2 },
          confirmed: false,
          missing: 7,
        },
        resume,
      },
    );
    const text = inWords(summary, 80);
    expect(text).toMatch(/^That may be a minute old/m);
    const long = text.split('\n').filter((line) => line.length > 80);
    expect(long).toEqual([`  ${resume}`]);
    expect(inWords({ ...summary, resume: null }, 80)).toContain("'learned_ids*'");
    expect(text.replace(/\n {4}/g, ' ')).toContain(reason);
  });

  const before = { spam: 5_000, ham: 4_000 };
  const few = { spam: 150, ham: 250 };
  const emptied = { ...GAIN, before: { spam: 0, ham: 2 }, after: { spam: 0, ham: 2 } };

  test.each<[string, readonly Fill[], Gain, object, string]>([
    [
      'judges with enough of both classes',
      [learn(5)],
      GAIN,
      { active: true, minLearns: 200, forgotten: false },
      'Bayes holds 300 spam and 250 ham, gained +300 and +250.',
    ],
    ['is silent with too few', [], { ...GAIN, after: few }, { active: false }, '50 spam missing'],
    [
      'can’t be compared',
      [learn(300)],
      { ...GAIN, before, gained: undefined },
      { before, gained: null, missing: 0 },
      "can't be told: before, rspamd said 5000 and 4000",
    ],
    ['tells nothing', [], UNTOLD, { now: null, active: null }, 'did not tell'],
    ['lacks some', [learn(100)], { ...GAIN, missing: 7 }, { missing: 7 }, 'lacks 7 messages'],
    [
      'was outlived by its list of learned messages',
      [know(100), learn(2)],
      emptied,
      { forgotten: true },
      'redis-cli',
    ],
    ['holds what is known', [know(500)], GAIN, { forgotten: false }, 'It judges'],
  ])('says that Bayes %s', (_what, fills, gain, bayes, words) => {
    const { summary, text } = summaryOf(fills, { gain });
    expect(summary.bayes).toMatchObject(bayes);
    expect(text).toContain(words);
    expect(text.includes('lacks')).toBe(gain.missing > 0);
  });
});
