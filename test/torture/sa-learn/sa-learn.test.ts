import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { spamdAddress } from '../../../src/spamd-address.ts';
import { FIRST_CANARY, canaryMessage } from '../../../src/trainers/spamassassin/canary.ts';
import { effectsOf } from '../../../src/trainers/spamassassin/sa-learn-output.ts';
import { refuseRoot } from '../../../src/trainers/spamassassin/sa-learn.ts';
import type {
  SaLearnTrainer,
  SaLearnTrainerOptions,
} from '../../../src/trainers/spamassassin/sa-learn.ts';
import type { Outcome } from '../../../src/trainers/trainer.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { NEVER, TaughtInMemory, addressAt, example } from '../../trainers/spamassassin/connect.ts';
import { FakeSaLearn } from './fake-sa-learn.ts';
import { kindsOf, learnAll } from './learning.ts';

const ANY = expect.any(String) as string;

function setUp(options: Partial<SaLearnTrainerOptions> = {}) {
  const fake = new FakeSaLearn();
  return { fake, trainer: fake.trainer(options) };
}

/** Learns a message, and gives it up once the run holds. */
async function giveUp(trainer: SaLearnTrainer, fake: FakeSaLearn, isLetGo = false): Promise<void> {
  const stop = new AbortController();
  const pending = trainer.learn(example('spam', 'a'), stop.signal);
  await fake.untilHeld();
  // What it said may still be on its way.
  await sleep(100);
  stop.abort();
  if (isLetGo) fake.go();
  expect(await pending).toEqual({ kind: 'aborted' });
}

function examples(verdict: Verdict, ...bodies: readonly string[]) {
  return bodies.map((body) => example(verdict, body, `${body}.eml`));
}

test('teaches what waits by one run, spam first, and proves it by another', async () => {
  const { fake, trainer } = setUp();
  const words = Array.from({ length: 130 }, (_, index) => `word${index}`);
  const messages = [...examples('ham', 'a', 'b'), ...examples('spam', ...words)];
  expect(new Set(kindsOf(await learnAll(trainer, messages)).split(' '))).toEqual(
    new Set(['learned']),
  );
  const sizes = () => fake.runs.map(({ action, bodies }) => `${action} ${bodies.length}`);
  expect(sizes()).toEqual(['spam+ham 132']);
  expect(new Set(kindsOf(await learnAll(trainer, messages)).split(' '))).toEqual(
    new Set(['duplicate']),
  );
  expect(sizes().slice(1)).toEqual(['spam+ham 132']);
  // No canary: a run tells by itself that it learned.
  expect(fake.allRuns.length).toBe(2);
  expect(fake.known).toMatchObject({ word129: 'spam', b: 'ham' });
});

test('a run that has held the lock for long enough ends, and the next one does the rest', async () => {
  const { fake, trainer } = setUp({ holdMs: 200 });
  const words = Array.from({ length: 100 }, (_, index) => `word${index}`);
  const known = words.filter((_, index) => index % 7 === 3);
  await learnAll(fake.trainer(), examples('spam', ...known));
  fake.behaviour = '$takes = 0.02;';
  const outcomes = await learnAll(trainer, examples('spam', ...words));
  const duplicates = words.filter((_, index) => outcomes[index]?.kind === 'duplicate');
  expect(duplicates).toEqual(known);
  expect(kindsOf(outcomes).replaceAll('duplicate', 'learned')).toBe(
    words.map(() => 'learned').join(' '),
  );
  const [, first, ...others] = fake.runs;
  expect(first?.bodies).toHaveLength(100);
  expect(others.length).toBeGreaterThan(0);
  // It keeps those that it may have come near.
  expect(others[0]?.bodies.length).toBeLessThan(75);
  expect(Object.keys(fake.known)).toHaveLength(100);
});

test('runs one process at a time, also of a canary', async () => {
  const fake = new FakeSaLearn();
  fake.behaviour = `
    put('overlap', '') if -e at('busy');
    put('busy', '');
    select(undef, undef, undef, 0.1);`;
  const trainer = fake.trainer();
  for (const word of ['a', 'b', 'c']) {
    // A canary, and a batch that has gathered while its second run is under way.
    const canary = trainer.diagnose(NEVER);
    await Promise.all([canary, trainer.learn(example('spam', word, word), NEVER)]);
  }
  expect(existsSync(join(fake.folder, 'overlap'))).toBe(false);
  expect(fake.allRuns.length).toBe(12);
});

test('a canary never meets that of a batch that failed', async () => {
  const { fake, trainer } = setUp();
  await trainer.diagnose(NEVER);
  fake.behaviour = 'select(undef, undef, undef, 0.05);';
  const canary = trainer.diagnose(NEVER);
  const outcomes = Promise.all([trainer.learn(example('spam', 'poison'), NEVER), canary]);
  expect((await outcomes).map(({ kind }) => kind)).toEqual(['deferred', 'works']);
  // Three of each canary, and the batch.
  expect(fake.allRuns.length).toBe(10);
});

test('a canary that a crash left learned is taken away, and another one shows that it works', async () => {
  const fake = new FakeSaLearn();
  const left = canaryMessage(FIRST_CANARY).toString('hex');
  writeFileSync(join(fake.folder, 'known'), `${left} ham\n`);
  expect(await fake.trainer().diagnose(NEVER)).toEqual({ kind: 'works' });
  expect(fake.allRuns.length).toBe(6);
  expect(fake.known).toEqual({});
});

test.each([
  ['that makes it fail', 'poison', 'exit 25'],
  ['that kills it', 'killer', 'SIGKILL'],
  ['that it leaves out, with exit 0', 'overlooked', '0 of 1'],
])('finds the message %s, and charges nothing to the others', async (_what, word, reason) => {
  const { fake, trainer } = setUp();
  const messages = examples('spam', 'a', 'b', 'c', word, 'd', 'e', 'f', 'g');
  const outcomes = await learnAll(trainer, messages);
  expect(outcomes[3]).toEqual({
    kind: 'deferred',
    reason: expect.stringContaining(reason) as string,
    answered: true,
  });
  const others = outcomes.filter((_, index) => index !== 3);
  expect(kindsOf(others)).toMatch(/^((learned|duplicate) ?){7}$/);
  expect(Object.keys(fake.known).sort().join('')).toBe('abcdefg');
  // A canary was asked before the list was split, and before the one was charged.
  expect(fake.allRuns.length - fake.runs.length).toBe(6);
});

test('what it learns again and again is never a duplicate, and is followed by a canary', async () => {
  const { fake, trainer } = setUp();
  const [message, other] = examples('spam', 'forgotten', 'b');
  const learn = async (each = message) =>
    each === undefined ? '' : (await trainer.learn(each, NEVER)).kind;
  expect([await learn(), await learn(), await learn()]).toEqual(['learned', 'learned', 'learned']);
  const before = fake.allRuns.length;
  expect([await learn(other), await learn(other)]).toEqual(['learned', 'duplicate']);
  expect(fake.allRuns.length - before).toBe(5);
});

test('a Bayes that remembers nothing is misconfigured', async () => {
  const fake = new FakeSaLearn();
  fake.behaviour = '$isForgetful = 1;';
  const trainer = fake.trainer();
  const [message] = examples('spam', 'a');
  const learn = () => trainer.learn(message ?? example('spam', ''), NEVER);
  expect(kindsOf([await learn(), await learn()])).toBe('learned learned');
  const hint = expect.stringContaining('bayes_learn_to_journal 0') as string;
  expect(await learn()).toMatchObject({ kind: 'misconfigured', hint });
  expect(await fake.trainer().diagnose(NEVER)).toMatchObject({ kind: 'misconfigured', hint });
});

test.each([
  [13, 'ERROR: the Bayes learn function returned an error', 'misconfigured', 'bayes_path'],
  [2, 'ERROR', 'misconfigured', 'bayes_path'],
  [25, 'ERROR', 'misconfigured', 'bayes_path'],
  [28, 'ERROR', 'unavailable', 'room'],
  [111, 'ERROR', 'unavailable', 'database'],
  [255, 'ERROR', 'misconfigured', 'Plugin::Bayes'],
  [
    1,
    "ERROR: configuration specifies 'use_bayes 0', sa-learn disabled",
    'misconfigured',
    'use_bayes 1',
  ],
  [64, 'Unknown option: max-size', 'misconfigured', 'sa-learn'],
  [99, 'ERROR', 'unavailable', '--lint'],
])('exit %i (%s) with a canary, too: no message is charged', async (code, says, kind, cure) => {
  const { fake, trainer } = setUp();
  await learnAll(trainer, examples('ham', 'z'));
  fake.behaviour = `end(${code}, ${JSON.stringify(says)});`;
  const outcomes = await learnAll(trainer, examples('spam', 'a', 'b', 'c'));
  const expected = { kind, reason: ANY, hint: expect.stringContaining(cure) as string };
  expect(outcomes).toEqual([1, 2, 3].map(() => expect.objectContaining(expected) as Outcome));
  // The same at a start.
  expect(await fake.trainer().diagnose(NEVER)).toMatchObject(expected);
  fake.behaviour = '';
  expect(kindsOf(await learnAll(trainer, examples('spam', 'a', 'b')))).toBe('learned learned');
});

test('a lock is waited for by nobody else, and is misconfigured the second time', async () => {
  const { fake, trainer } = setUp();
  await learnAll(trainer, examples('ham', 'z'));
  const before = fake.allRuns.length;
  fake.behaviour = 'end(17, "ERROR: the Bayes learn function returned an error");';
  const held = await learnAll(trainer, examples('spam', 'a', 'b'));
  expect(kindsOf(held)).toBe('unavailable unavailable');
  expect(fake.allRuns.length - before).toBe(1);
  const [again] = await learnAll(trainer, examples('spam', 'a'));
  const hint = expect.stringContaining('bayes.lock') as string;
  expect(again).toMatchObject({ kind: 'misconfigured', hint });
  fake.behaviour = '';
  expect(kindsOf(await learnAll(trainer, examples('spam', 'a')))).toBe('learned');
  fake.behaviour = 'end(17);';
  expect(kindsOf(await learnAll(trainer, examples('spam', 'b')))).toBe('unavailable');
});

test('all that breaks while a list is split is charged to nobody', async () => {
  const { fake, trainer } = setUp();
  await trainer.diagnose(NEVER);
  fake.behaviour = `end(13, 'ERROR') if $runs > 8;`;
  const outcomes = await learnAll(trainer, examples('spam', 'a', 'poison', 'b'));
  expect(kindsOf(outcomes)).toBe('duplicate misconfigured misconfigured');
  // The last one was not tried.
  expect(fake.allRuns.length).toBe(10);
});

test.each([
  ['fewer were examined', { examined: 1 }],
  ['another number was changed', { changed: 2 }],
  ['nothing is said of one', { effects: ['changed', undefined] as const }],
  ['one is missing', { effects: ['changed'] as const }],
  ['there is one more', { effects: ['changed', 'unchanged', 'unchanged'] as const }],
])('its account does not count where %s', (_what, wrong) => {
  const account = {
    effects: ['changed', 'unchanged'],
    examined: 2,
    changed: 1,
    complaint: '',
  } as const;
  expect(effectsOf(account, 2)).toEqual(['changed', 'unchanged']);
  expect(effectsOf({ ...account, ...wrong }, 2)).toBeUndefined();
});

test('is stopped by SIGTERM', async () => {
  const { fake, trainer } = setUp();
  await trainer.diagnose(NEVER);
  fake.behaviour = `
    $SIG{TERM} = sub { select(undef, undef, undef, 0.2); put('stopped', ''); exit 25 };
    syswrite(STDERR, "Nov 30 02:44:23.047 [$$] dbg: learn: learning spam\\n");
    hold();`;
  await giveUp(trainer, fake);
  expect(existsSync(join(fake.folder, 'stopped'))).toBe(true);
  expect(readdirSync(fake.temporary)).toEqual([]);
});

test('the next run waits for one that was aborted and does not end', async () => {
  const { fake, trainer } = setUp({ leaveMs: 50 });
  await trainer.diagnose(NEVER);
  fake.behaviour = `
    put('overlap', '') if -e at('busy');
    put('busy', '');
    hold();`;
  await giveUp(trainer, fake);
  const next = trainer.learn(example('spam', 'b'), NEVER);
  // If it did not wait, it would have begun by then.
  await sleep(500);
  fake.go();
  expect((await next).kind).toBe('learned');
  expect(existsSync(join(fake.folder, 'overlap'))).toBe(false);
});

test('before its first message it is not stopped: its messages are taken from it', async () => {
  const { fake, trainer } = setUp();
  await trainer.diagnose(NEVER);
  fake.behaviour = `hold(); put('left', join ',', 'left:', glob '*');`;
  await giveUp(trainer, fake, true);
  expect(readFileSync(join(fake.folder, 'left'), 'utf8')).toBe('left:');
});

test('a run is stopped only when everybody has given it up', async () => {
  const { fake, trainer } = setUp();
  await trainer.diagnose(NEVER);
  fake.behaviour = 'hold();';
  const stop = new AbortController();
  const pending = Promise.all([
    trainer.learn(example('spam', 'a'), stop.signal),
    trainer.learn(example('spam', 'b', 'b.eml'), NEVER),
  ]);
  await fake.untilHeld();
  stop.abort();
  fake.go();
  expect((await pending)[1]).toEqual({ kind: 'learned' });
});

test('what does not end is stopped when patience is over', async () => {
  const { fake, trainer } = setUp({ patienceMs: 1_500 });
  fake.behaviour = '$SIG{TERM} = sub { exit 0 }; sleep 60 while 1;';
  expect(await trainer.learn(example('spam', 'a'), NEVER)).toMatchObject({
    kind: 'unavailable',
    reason: 'it does not end',
  });
});

test('never runs as root', async () => {
  const { fake, trainer } = setUp({ uid: 0 });
  const root = { kind: 'misconfigured', hint: expect.stringContaining('setpriv') as string };
  expect(await trainer.learn(example('spam', 'a'), NEVER)).toMatchObject(root);
  expect(await trainer.diagnose(NEVER)).toMatchObject(root);
  expect(await trainer.obstacle()).toContain('root');
  expect(fake.allRuns).toEqual([]);
  const spamd = { address: spamdAddress(`exec:${fake.program}`) } as Parameters<
    typeof refuseRoot
  >[0]['spamd'];
  const refuse = (uid: number, ...trainers: ('rspamd' | 'spamassassin')[]) =>
    refuseRoot({ trainers, spamd }, uid);
  expect(() => refuse(0, 'rspamd', 'spamassassin')).toThrow(
    expect.objectContaining({ exitCode: 78, code: 'sa-learn.root' }) as Error,
  );
  refuse(1, 'spamassassin');
  refuse(0, 'rspamd');
});

test('a turned message: the bytes that were taught are forgotten first', async () => {
  const taught = new TaughtInMemory();
  const { fake, trainer } = setUp({ taught });
  await trainer.learn(example('spam', 'first bytes'), NEVER);
  expect(taught.messages.get('a.eml')).toMatchObject({ verdict: 'spam' });
  const turned = example('ham', 'other bytes');
  expect(await trainer.learn(turned, NEVER)).toEqual({ kind: 'learned' });
  expect(await trainer.learn(turned, NEVER)).toEqual({ kind: 'duplicate' });
  expect(fake.runs.map(({ action, bodies }) => `${action} ${bodies.join()}`)).toEqual([
    'spam first bytes',
    'forget first bytes',
    'ham other bytes',
    'ham other bytes',
  ]);
  expect(fake.known).toEqual({ 'other bytes': 'ham' });
});

test('a message that is written anew with the same verdict counts once', async () => {
  const taught = new TaughtInMemory();
  const { fake, trainer } = setUp({ taught });
  await trainer.learn(example('spam', 'first bytes'), NEVER);
  await trainer.learn(example('spam', 'other bytes'), NEVER);
  expect(fake.known).toEqual({ 'other bytes': 'spam' });
  expect(taught.messages.get('a.eml')?.body.toString()).toBe('other bytes');
});

test('what is being learned is kept as taught before it is, and what was before it where that fails', async () => {
  const taught = new TaughtInMemory();
  const { fake, trainer } = setUp({ taught });
  await trainer.learn(example('spam', 'first bytes'), NEVER);
  const keptWhen: string[] = [];
  const put = taught.put.bind(taught);
  taught.put = (key, verdict, body) => {
    keptWhen.push(`${fake.runs.length} ${body.toString()}`);
    return put(key, verdict, body);
  };
  await trainer.learn(example('ham', 'other bytes'), NEVER);
  // One that learned the first bytes, and one that forgot them.
  expect(keptWhen).toEqual(['2 other bytes']);
  expect((await trainer.learn(example('spam', 'poison'), NEVER)).kind).toBe('deferred');
  expect(taught.messages.get('a.eml')?.body.toString()).toBe('other bytes');
});

test('refuses what is too large', async () => {
  const { fake, trainer } = setUp({ maxBytes: 3 });
  expect(await trainer.learn(example('spam', 'long'), NEVER)).toMatchObject({ kind: 'refused' });
  expect(fake.allRuns).toEqual([]);
});

test('messages lie in a folder of this user alone, which is removed', async () => {
  const fake = new FakeSaLearn();
  const home = process.env['HOME'];
  process.env['HOME'] = '/of-somebody-else';
  fake.behaviour = `put('seen', join ',',
    (map { sprintf '%o', (stat $_)[2] & 0777 } '.', '0'), $ENV{HOME} // '');`;
  await learnAll(fake.trainer(), examples('spam', 'a'));
  process.env['HOME'] = home;
  expect(readFileSync(join(fake.folder, 'seen'), 'utf8')).toBe('700,600,');
  expect(readdirSync(fake.temporary)).toEqual([]);
});

test('removes what a killed process left, and nothing of a living one', async () => {
  const fake = new FakeSaLearn();
  const dead = spawnSync('true').pid;
  const left = [`${dead}-abc-123456`, `${process.pid}-abc-123456`];
  const kept = [`${process.ppid}-abc-123456`, 'x'];
  for (const name of [...left, ...kept]) {
    mkdirSync(join(fake.temporary, `kopano-learnd-sa-learn-${name}`));
    writeFileSync(join(fake.temporary, `kopano-learnd-sa-learn-${name}`, '0'), 'mail');
  }
  await learnAll(fake.trainer(), examples('spam', 'a'));
  expect(readdirSync(fake.temporary).sort()).toEqual(
    kept.map((name) => `kopano-learnd-sa-learn-${name}`).sort(),
  );
});

test('a program that is not there, or may not be started, and no place for its files', async () => {
  const fake = new FakeSaLearn();
  const missing = join(fake.folder, 'none');
  writeFileSync(join(fake.folder, 'plain'), '');
  for (const program of [missing, join(fake.folder, 'plain'), join(fake.program, 'sa-learn')]) {
    const trainer = fake.trainer({ address: addressAt(0, { program }) });
    const [outcome] = await learnAll(trainer, examples('spam', 'a'));
    const hint = expect.stringContaining('SPAMD_URL') as string;
    expect(outcome).toMatchObject({ kind: 'misconfigured', hint });
    expect(await trainer.obstacle()).toMatch(/ENOENT|EACCES|ENOTDIR/);
  }
  expect(await fake.trainer().obstacle()).toBeUndefined();
  const homeless = fake.trainer({ temporary: missing });
  const [outcome] = await learnAll(homeless, examples('spam', 'a'));
  expect(outcome).toMatchObject({ kind: 'unavailable', contact: 'none' });
});
