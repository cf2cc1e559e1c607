import { getEventListeners } from 'node:events';
import { renameSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { failSteps, resolved } from '../support/fs-steps.ts';
import type { LogRecorder } from '../support/log-recorder.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { openFilesBelow } from '../support/open-files.ts';
import {
  LEARNED,
  NO_ANSWER,
  REFUSES,
  ScriptedTrainer,
  TOO_LARGE,
  TOO_SHORT,
  to,
} from '../support/scripted-trainer.ts';
import type { TestSpool } from '../support/test-spool.ts';
import { SessionBench } from './session-bench.ts';

let bench: SessionBench;
let clock: ManualClock;
let spool: TestSpool;
let recorder: LogRecorder;
let rspamd: ScriptedTrainer;
let spamassassin: ScriptedTrainer;

beforeEach(() => {
  rspamd = new ScriptedTrainer('http://one:11334');
  spamassassin = new ScriptedTrainer('spamd://two:783', 'spamassassin');
  bench = new SessionBench({
    trainers: [rspamd, spamassassin],
    settings: { LEARN_TRAINERS: 'rspamd,spamassassin' },
  });
  ({ clock, spool, recorder } = bench);
});

afterEach(() => expect(recorder.of('daemon.bug')).toEqual([]));

/** What became of messages, as `TRAINER RESULT FILE`. */
function results(): string[] {
  return recorder.lines
    .filter(({ event, fields }) => event.startsWith('message.') && fields['trainer'] !== undefined)
    .map(({ event, fields }) => `${fields['trainer']} ${event.slice(8)} ${fields['file']}`);
}

const names = (trainer: ScriptedTrainer): string[] =>
  trainer.posts.map(({ name, verdict }) => `${verdict} ${name}`);
/** A user calls messages of these names spam, or ham. */
function drop(names: readonly string[], verdict = 'spam'): void {
  for (const name of names) spool.drop(verdict, `${name}.eml`, `X-Test: ${name}\n\n${name}\n`);
}
/** Lets time flow until so many messages have ended at a filter. */
const ended = (count: number): Promise<void> =>
  clock.flowUntil(`${count} have ended`, () => results().length === count, 100);
/** Lets time flow until the spool is empty. */
const gone = (): Promise<void> =>
  clock.flowUntil(
    'all is gone',
    () => spool.queued.length + spool.dropped('spam').length === 0,
    100,
  );

test.each([
  ['learned', undefined],
  ['refused', TOO_SHORT],
] as const)(
  'a message is removed when rspamd has learned it, and it is %s by the other filter',
  async (result, outcome) => {
    spamassassin.plays(() => outcome);
    await bench.begin();
    drop(['a']);
    await ended(2);
    await gone();
    expect(results().sort()).toEqual(['rspamd learned a.eml', `spamassassin ${result} a.eml`]);
    expect(names(rspamd)).toEqual(['spam a', 'spam a']);
    expect(names(spamassassin)).toEqual(outcome === undefined ? ['spam a', 'spam a'] : ['spam a']);
  },
);

describe('while one filter is away', () => {
  test('the other one learns all, once, over restarts too; the messages wait for the first', async () => {
    spamassassin.plays(() => REFUSES);
    await bench.begin();
    drop(['a', 'b', 'c']);
    await ended(3);
    expect(spool.queued).toHaveLength(3);
    await clock.flow(1_200_000, 1_000);
    await bench.end();
    await bench.begin();
    await clock.flow(600_000, 1_000);
    expect(spool.queued).toHaveLength(3);
    expect(rspamd.posts).toHaveLength(6);
    spamassassin.plays();
    await gone();
    expect(rspamd.posts).toHaveLength(6);
    expect([...spamassassin.memory.values()]).toEqual(['spam', 'spam', 'spam']);
  });

  test('a turned verdict is learned by both in its last form, whoever had the first one', async () => {
    spamassassin.plays(() => REFUSES);
    await bench.begin();
    drop(['a']);
    await ended(1);
    drop(['a'], 'ham');
    await clock.flowUntil(
      'it is turned',
      () => results().includes('rspamd learned a.eml') && rspamd.posts.length === 4,
    );
    spamassassin.plays();
    await gone();
    expect(names(rspamd)).toEqual(['spam a', 'spam a', 'ham a', 'ham a']);
    expect([...rspamd.memory, ...spamassassin.memory].map(([, verdict]) => verdict)).toEqual([
      'ham',
      'ham',
    ]);
    expect(results().filter((each) => each.includes('superseded'))).toEqual([
      'spamassassin superseded a.eml',
    ]);
  });

  test('a message that is withdrawn is withdrawn from that one', async () => {
    spamassassin.plays(() => REFUSES);
    await bench.begin();
    drop(['a']);
    await ended(1);
    rmSync(spool.statePath('queue/spam/a.eml'));
    spamassassin.plays();
    await ended(2);
    expect(results()).toEqual(['rspamd learned a.eml', 'spamassassin withdrawn a.eml']);
  });

  test('what it had posted without a proof is still counted after a restart', async () => {
    spamassassin.plays(() => LEARNED);
    const all = ['a', 'b', 'c'];
    await bench.begin();
    drop(all);
    await clock.flow(1_200_000, 1_000);
    await bench.end();
    await bench.begin();
    await clock.flow(1_200_000, 1_000);
    await bench.end();
    for (const name of all) {
      expect(spamassassin.of(name).length).toBeLessThanOrEqual(8 + 2);
    }
    expect(rspamd.posts).toHaveLength(6);
  });
});

test('a file that comes back from the archive is learned by both, whatever was noted of it once', async () => {
  spamassassin.plays(() => REFUSES);
  await bench.begin();
  drop(['a']);
  await ended(1);
  await bench.end();
  const alone = new SessionBench({
    trainers: [rspamd],
    spool,
    settings: { LEARN_AFTER: 'archive' },
  });
  await alone.begin();
  await alone.clock.flowUntil('it is archived', () => spool.queued.length === 0, 100);
  await alone.end();
  spamassassin.plays();
  const [day = ''] = spool.names('archive/spam');
  renameSync(spool.statePath(`archive/spam/${day}/a.eml`), spool.dropPath('spam', 'a.eml'));
  rspamd.memory.clear(); // its Redis lost all
  await bench.begin();
  await gone();
  for (const { memory } of [rspamd, spamassassin]) expect([...memory]).toEqual([['a', 'spam']]);
});

test('a message that one filter cannot take is quarantined when the other remembers it', async () => {
  rspamd.plays(() => TOO_LARGE);
  spamassassin.plays(() => REFUSES);
  await bench.begin();
  drop(['a']);
  await clock.flowUntil('one cannot take it', () => results().includes('rspamd quarantined a.eml'));
  await clock.flow(60_000, 100);
  expect(spool.names('quarantine/spam')).toEqual([]);
  // Who looks for it there during the outage finds nothing.
  expect(recorder.of('message.quarantined')[0]?.message).toMatch(
    /quarantine list has it once the other filter has done with it$/,
  );
  expect(rspamd.posts).toHaveLength(1);
  spamassassin.plays();
  await gone();
  expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  expect(spool.read('quarantine/spam/a.eml.json')).toContain('413');
  expect([...spamassassin.memory.values()]).toEqual(['spam']);
});

test.each(['done-spamassassin', 'taught'])(
  'a session that cannot begin, for %s, leaves nothing behind: it is tried every second',
  (name) => {
    symlinkSync('elsewhere', spool.statePath(name));
    expect(() => bench.make()).toThrow(/ELOOP|ENOTDIR/);
    expect(openFilesBelow(spool.statePath('done-rspamd'))).toEqual([]);
    expect(getEventListeners(bench.stop.signal, 'abort')).toEqual([]);
  },
);

test('a message that no filter answers ends in quarantine, and is not posted for ever', async () => {
  for (const each of [rspamd, spamassassin]) {
    const silent = to('a', () => sleep(clock, 30_000).then(() => NO_ANSWER));
    each.plays(to('a', LEARNED, 4), silent);
  }
  await bench.begin();
  drop(['a']);
  for (let i = 0; i < 1_500 && spool.names('quarantine/spam').length === 0; i += 1) {
    drop([`${i}`], 'ham');
    await clock.flow(10_000, 200);
  }
  expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  expect(rspamd.of('a').length).toBeLessThan(40);
});

test('what was taught is not forgotten by a clock that is years ahead, but when rspamd agrees', async () => {
  await bench.begin();
  await bench.taught.put('a.eml', 'spam', Buffer.from('a'));
  const year = 2_000_000;
  utimesSync(spool.statePath('taught/a.eml'), year, year);
  rspamd.clock = year * 1_000;
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('taught')).toContain('a.eml');
  rspamd.clock = clock.wall();
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('taught')).not.toContain('a.eml');
});

describe('a fault of the disk in what was taught', () => {
  const told = (): string[] =>
    recorder.lines.filter(({ event }) => event.startsWith('disk.')).map(({ event }) => event);

  test('is over with the next message that is kept', async () => {
    await bench.begin();
    await clock.flow(1_000);
    let isFull = true;
    failSteps((step) =>
      isFull && step.call === 'openSync' && resolved(step).includes('tmp/.taught-')
        ? 'ENOSPC'
        : undefined,
    );
    await bench.taught.put('a.eml', 'spam', Buffer.from('a'));
    expect(told()).toEqual(['disk.fault']);
    isFull = false;
    await bench.taught.put('b.eml', 'spam', Buffer.from('b'));
    expect(told()).toEqual(['disk.fault', 'disk.ok']);
  });

  test('that keeps it from being pruned lasts until it can be', async () => {
    let isBroken = true;
    failSteps((step) =>
      isBroken && step.call === 'opendirSync' && resolved(step).endsWith('/taught/.')
        ? 'EIO'
        : undefined,
    );
    await bench.begin();
    await clock.flow(20_000, 100);
    expect(told()).toEqual(['disk.fault']);
    isBroken = false;
    await clock.flow(6_000, 100);
    expect(told()).toEqual(['disk.fault', 'disk.ok']);
  });
});
