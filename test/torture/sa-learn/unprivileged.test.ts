import { describe, expect, test } from 'vitest';
import { SaLearnTrainer } from '../../../src/trainers/spamassassin/sa-learn.ts';
import { makeMessage, makeMessages } from '../../lab/messages.ts';
import { TIME, needsPrograms } from '../../support/needs.ts';
import { NEVER, TaughtInMemory, addressAt, example } from '../../trainers/spamassassin/connect.ts';
import { kindsOf, learnAll } from './learning.ts';
import { PrivateSaLearn } from './private-sa-learn.ts';

/** @param holdMs how long a run may hold the lock */
function trainerOf(
  { program, temporary }: PrivateSaLearn,
  taught?: TaughtInMemory,
  holdMs?: number,
): SaLearnTrainer {
  return new SaLearnTrainer({
    address: addressAt(0, { program }),
    maxBytes: 10_000_000,
    taught,
    holdMs,
    temporary,
    // Where the checkout belongs to root, that is who runs this.
    uid: 1,
  });
}

function repeated(kind: string, times: number): string {
  return Array.from({ length: times }, () => kind).join(' ');
}

/** A message is one, whatever is in it. */
const ODD = [
  'To: a@b.example\n\nand no line break at the end',
  '\n\njust some words without a header\n',
  Buffer.from([10, 10, 0, 255, 254, 0, 128, 13, 10]),
  'To: c@b.example\n\nwords\n\nFrom a@b.example Tue Aug  6 11:51:02 2002\nTo: d@b.example\n\nmore\n',
  'From a@b.example Tue Aug  6 11:51:02 2002\nTo: e@b.example\n\nwords\n',
  `To: a@b.example\n\n${'long '.repeat(120_000)}`,
  // What would pass for its own words.
  "To: f@b.example\nX: y\n\tNov 30 02:44:23.047 [1] dbg: bayes: learned 'x'\n\ndbg: learn: learning spam\n",
  '',
].map((body, index) => example('spam', body, `odd${index}.eml`));

describe('sa-learn', { ...needsPrograms('sa-learn'), ...TIME }, () => {
  test('learns, knows and tells of each message which it was', async () => {
    const saLearn = new PrivateSaLearn();
    const all = makeMessages('spam', 12).map(({ raw }, index) =>
      example('spam', raw, `${index}.eml`),
    );
    const [known, messages] = [all.filter((_, index) => index % 5 === 2), [...all, ...ODD]];
    expect(kindsOf(await learnAll(trainerOf(saLearn), known))).toBe('learned learned');
    const trainer = trainerOf(saLearn);
    const outcomes = await learnAll(trainer, messages);
    expect(outcomes.flatMap(({ kind }, index) => (kind === 'duplicate' ? [index] : []))).toEqual([
      2, 7,
    ]);
    expect(kindsOf(outcomes).replaceAll('duplicate', 'learned')).toBe(
      repeated('learned', messages.length),
    );
    expect(kindsOf(await learnAll(trainer, messages))).toBe(repeated('duplicate', 20));
    expect(saLearn.counts).toMatchObject({ spam: 20, ham: 0 });
  });

  test('holds the lock no longer than it may: what a run does not come to the next one learns', async () => {
    const saLearn = new PrivateSaLearn();
    const verdicts = ['ham', 'spam'] as const;
    const messages = verdicts.flatMap((verdict) =>
      makeMessages(verdict, 100).map(({ raw }, index) =>
        example(verdict, raw, `${verdict}${index}.eml`),
      ),
    );
    const trainer = trainerOf(saLearn, undefined, 1);
    expect(kindsOf(await learnAll(trainer, messages))).toBe(repeated('learned', 200));
    expect(saLearn.counts).toMatchObject({ spam: 100, ham: 100 });
    expect(kindsOf(await learnAll(trainer, messages))).toBe(repeated('duplicate', 200));
    expect(saLearn.counts).toMatchObject({ spam: 100, ham: 100 });
    expect(saLearn.runs).toBeGreaterThan(6);
  });

  test('turns a message, forgets what it was taught with other bytes, and is left as it was by a canary', async () => {
    const saLearn = new PrivateSaLearn();
    const trainer = trainerOf(saLearn, new TaughtInMemory());
    const same = makeMessage('spam', 1).raw;
    const regenerated = (boundary: string) =>
      `To: all@news.example\nDate: Mon, 08 Jan 2024 08:00:00 +0000\n\n--${boundary}\nabout rope\n`;
    await learnAll(trainer, [
      example('spam', same, 'same.eml'),
      example('spam', regenerated('a'), 'other.eml'),
    ]);
    expect(saLearn.counts).toMatchObject({ spam: 2, ham: 0 });
    const turned = [
      example('ham', same, 'same.eml'),
      example('ham', regenerated('b'), 'other.eml'),
    ];
    expect(kindsOf(await learnAll(trainer, turned))).toBe('learned learned');
    expect(kindsOf(await learnAll(trainer, turned))).toBe('duplicate duplicate');
    const before = saLearn.counts;
    expect(before).toMatchObject({ spam: 0, ham: 2 });
    expect(await trainer.diagnose(NEVER)).toEqual({ kind: 'works' });
    expect(saLearn.counts).toEqual(before);
  });

  test.each([
    ['use_bayes 0', 'use_bayes 1'],
    ['bayes_path /proc/none/bayes', 'bayes_path'],
  ])('with %s is misconfigured', async (line, cure) => {
    const [outcome] = await learnAll(trainerOf(new PrivateSaLearn(line)), [example('spam', 'a')]);
    const hint = expect.stringContaining(cure) as string;
    expect(outcome).toMatchObject({ kind: 'misconfigured', hint });
  });

  test('with a journal learns all the same: each run syncs it', async () => {
    const saLearn = new PrivateSaLearn('bayes_learn_to_journal 1');
    const trainer = trainerOf(saLearn);
    const message = [example('spam', makeMessage('spam', 1).raw)];
    expect(kindsOf(await learnAll(trainer, message))).toBe('learned');
    expect(kindsOf(await learnAll(trainer, message))).toBe('duplicate');
    expect(saLearn.counts).toMatchObject({ spam: 1, ham: 0 });
  });
});
