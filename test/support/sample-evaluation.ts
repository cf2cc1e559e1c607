import type { Evaluation } from '../../src/evaluate/evaluation.ts';

/** What a message may say of itself. */
export const NASTY = '<img src=x onerror="alert(1)"> & \'"';
const share = { value: 0.971, low: 0.96, high: 0.979 };
const said = {
  spam: { judged: 100, spam: 90, ham: 4, nothing: 6 },
  ham: { judged: 150, spam: 1, ham: 140, nothing: 9 },
};
const figures = { spamCaught: share, hamLost: share, noOpinion: null };

/** An evaluation with everything in it. */
export const EVALUATION: Evaluation = {
  filter: {
    version: '3.4',
    from: 'site',
    hasNamedClasses: true,
    settings: { tokenizer: 'osb', min_tokens: 11, min_learns: 200 },
  },
  messages: {
    read: 253,
    spam: 102,
    ham: 151,
    beside: {
      ...{ duplicates: 2, short: 1, failed: 0, notMail: 0, passedOver: 0, unreadable: 3, older: 0 },
    },
  },
  timeOrder: {
    orderedBy: { archive: 0, received: 250, date: 3, file: 0 },
    seconds: 2,
    all: { said, figures },
    speaking: { first: 12, said, figures },
    curve: [1, 2, 3].map((point) => ({
      first: 100 * point - 99,
      last: 100 * point,
      from: '2026-01-01',
      to: '2026-01-02',
      said,
    })),
  },
  crossValidation: {
    ...{ folds: 5, seed: 1, seconds: 9, minLearns: 1, failed: 0, said, figures },
    areaAbove: { value: 0.00123, low: 0.0005, high: 0.002 },
    histogram: [
      { from: 0, to: 0.5, spam: 10, ham: 149 },
      { from: 0.5, to: 1, spam: 90, ham: 1 },
    ],
    roc: [
      { threshold: 2, hamLost: 0, spamCaught: 0 },
      { threshold: 0.9, hamLost: 0.01, spamCaught: 0.9 },
      { threshold: 0, hamLost: 1, spamCaught: 1 },
    ],
  },
  disputed: {
    count: 2,
    byVerdict: { spam: 1, ham: 1 },
    senders: [{ sender: NASTY, messages: 2 }],
    sendersOfHalf: 1,
    differentSenders: 1,
    messages: (['spam', 'ham'] as const).map((verdict) => ({
      ...{ verdict, contradiction: 0.98, senderOthers: 9, senderOtherwise: 8, date: '2026-01-01' },
      ...{ place: `/a/${NASTY}`, sender: NASTY, subject: NASTY },
    })),
  },
  outFile: { name: '/tmp/list', paths: 2 },
  relearn: [`cat ${NASTY}`],
};
