import { getEventListeners } from 'node:events';
import { rmSync, symlinkSync, utimesSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { Bugs } from '../../src/bugs.ts';
import { loadConfig } from '../../src/config.ts';
import { createLearners } from '../../src/daemon/learners.ts';
import { SessionTaught } from '../../src/daemon/session-taught.ts';
import { SpoolSession } from '../../src/daemon/session.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import { failSteps, resolved } from '../support/fs-steps.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
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
import { TestSpool } from '../support/test-spool.ts';

let clock: ManualClock;
let spool: TestSpool;
let recorder: LogRecorder;
let stop: AbortController;
let taught: SessionTaught;
let rspamd: ScriptedTrainer;
let spamassassin: ScriptedTrainer;

beforeEach(() => {
  clock = new ManualClock();
  spool = new TestSpool();
  recorder = new LogRecorder();
  rspamd = new ScriptedTrainer('http://one:11334');
  spamassassin = new ScriptedTrainer('spamd://two:783', 'spamassassin');
});

/** A daemon's session, as `LEARN_TRAINERS=rspamd,spamassassin` makes it. */
function make(): SpoolSession {
  const { log } = recorder;
  const random = (): number => 0.5;
  stop = new AbortController();
  taught = new SessionTaught();
  const config = loadConfig({
    KOPANO_SPAMD_LIB: spool.lib,
    LEARN_POLLING: 'yes',
    LEARN_TRAINERS: 'rspamd,spamassassin',
  });
  return new SpoolSession({
    config,
    clock,
    random,
    log,
    bugs: new Bugs({ clock, log }),
    stateDir: spool.stateDir,
    learners: createLearners({
      config,
      trainers: [rspamd, spamassassin],
      clock,
      random,
      log,
      onEnded: () => () => undefined,
    }),
    locks: new MessageLocks(),
    taught,
    fuzzyLists: new SessionTaught(),
    history: {},
    stop: stop.signal,
  });
}

/** `end` is a restart's first half. */
async function begin(): Promise<{ readonly end: () => Promise<void> }> {
  const session = make();
  await session.prepare();
  const run = session.run();
  return {
    end: async () => {
      stop.abort();
      await clock.flowUntil('it is over', isOver(run));
      expect(recorder.of('daemon.bug')).toEqual([]);
    },
  };
}

function isOver(run: Promise<void>): () => boolean {
  let over = false;
  void run.then(() => (over = true));
  return () => over;
}

/** What became of messages, as `TRAINER RESULT FILE`. */
function results(): string[] {
  return recorder.lines
    .filter(({ event, fields }) => event.startsWith('message.') && fields['trainer'] !== undefined)
    .map(({ event, fields }) => `${fields['trainer']} ${event.slice(8)} ${fields['file']}`);
}

const names = (trainer: ScriptedTrainer): string[] =>
  trainer.posts.map(({ name, verdict }) => `${verdict} ${name}`);
const message = (name: string): string => `X-Test: ${name}\n\n${name}\n`;
const isGone = (): boolean => spool.queued.length === 0 && spool.dropped('spam').length === 0;

test('a message is learned by each filter, and removed when both remember it', async () => {
  const session = await begin();
  spool.drop('spam', 'a.eml', message('a'));
  await clock.flowUntil('it is gone', () => isGone() && results().length === 2);
  expect(results().sort()).toEqual(['rspamd learned a.eml', 'spamassassin learned a.eml']);
  expect(names(rspamd)).toEqual(['spam a', 'spam a']);
  expect(names(spamassassin)).toEqual(['spam a', 'spam a']);
  await session.end();
});

describe('while one filter is away', () => {
  test('the other one learns all, once, over restarts too; the messages wait for the first', async () => {
    spamassassin.plays(() => REFUSES);
    let session = await begin();
    for (const name of ['a', 'b', 'c']) spool.drop('spam', `${name}.eml`, message(name));
    await clock.flowUntil('one has learned them', () => results().length === 3);
    expect(spool.queued).toHaveLength(3);
    await clock.flow(1_200_000, 1_000);
    await session.end();
    session = await begin();
    await clock.flow(600_000, 1_000);
    expect(spool.queued).toHaveLength(3);
    expect(rspamd.posts).toHaveLength(6);
    spamassassin.plays();
    await clock.flowUntil('they are gone', isGone, 100);
    expect(rspamd.posts).toHaveLength(6);
    expect([...spamassassin.memory.values()]).toEqual(['spam', 'spam', 'spam']);
    await session.end();
  });

  test('a turned verdict is learned by both in its last form, whoever had the first one', async () => {
    spamassassin.plays(() => REFUSES);
    const session = await begin();
    spool.drop('spam', 'a.eml', message('a'));
    await clock.flowUntil('one has learned it', () => results().length === 1);
    spool.drop('ham', 'a.eml', message('a'));
    await clock.flowUntil(
      'it is turned',
      () => results().includes('rspamd learned a.eml') && rspamd.posts.length === 4,
    );
    spamassassin.plays();
    await clock.flowUntil('it is gone', isGone, 100);
    expect(names(rspamd)).toEqual(['spam a', 'spam a', 'ham a', 'ham a']);
    expect([...rspamd.memory, ...spamassassin.memory].map(([, verdict]) => verdict)).toEqual([
      'ham',
      'ham',
    ]);
    expect(results().filter((each) => each.includes('superseded'))).toEqual([
      'spamassassin superseded a.eml',
    ]);
    await session.end();
  });

  test('a message that is withdrawn is withdrawn from that one', async () => {
    spamassassin.plays(() => REFUSES);
    const session = await begin();
    spool.drop('spam', 'a.eml', message('a'));
    await clock.flowUntil('one has learned it', () => results().length === 1);
    rmSync(spool.statePath('queue/spam/a.eml'));
    spamassassin.plays();
    await clock.flowUntil('it is withdrawn', () => results().length === 2, 100);
    expect(results()).toEqual(['rspamd learned a.eml', 'spamassassin withdrawn a.eml']);
    await session.end();
  });

  test('what it had posted without a proof is still counted after a restart', async () => {
    spamassassin.plays(() => LEARNED);
    const all = ['a', 'b', 'c'];
    let session = await begin();
    for (const name of all) spool.drop('spam', `${name}.eml`, message(name));
    await clock.flow(1_200_000, 1_000);
    await session.end();
    session = await begin();
    await clock.flow(1_200_000, 1_000);
    await session.end();
    for (const name of all) {
      expect(spamassassin.posts.filter((each) => each.name === name).length).toBeLessThanOrEqual(
        8 + 2,
      );
    }
    expect(rspamd.posts).toHaveLength(6);
  });
});

test('a message that one filter has nothing to learn from is done when the other remembers it', async () => {
  spamassassin.plays(() => TOO_SHORT);
  const session = await begin();
  spool.drop('spam', 'a.eml', message('a'));
  await clock.flowUntil('it is gone', () => isGone() && results().length === 2);
  expect(results().sort()).toEqual(['rspamd learned a.eml', 'spamassassin refused a.eml']);
  await session.end();
});

test('a message that one filter cannot take is quarantined when the other remembers it', async () => {
  rspamd.plays(() => TOO_LARGE);
  spamassassin.plays(() => REFUSES);
  const session = await begin();
  spool.drop('spam', 'a.eml', message('a'));
  await clock.flowUntil('one cannot take it', () => results().includes('rspamd quarantined a.eml'));
  await clock.flow(60_000, 100);
  expect(spool.names('quarantine/spam')).toEqual([]);
  // Who looks for it there during the outage finds nothing.
  expect(recorder.of('message.quarantined')[0]?.message).toMatch(
    /quarantine list has it once the other filter has done with it$/,
  );
  expect(rspamd.posts).toHaveLength(1);
  spamassassin.plays();
  await clock.flowUntil('it is gone', isGone, 100);
  expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  expect(spool.read('quarantine/spam/a.eml.json')).toContain('413');
  expect([...spamassassin.memory.values()]).toEqual(['spam']);
  await session.end();
});

test.each(['done-spamassassin', 'taught'])(
  'a session that cannot begin, for %s, leaves nothing behind: it is tried every second',
  (name) => {
    symlinkSync('elsewhere', spool.statePath(name));
    expect(make).toThrow(/ELOOP|ENOTDIR/);
    expect(openFilesBelow(spool.statePath('done-rspamd'))).toEqual([]);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  },
);

test('a message that no filter answers ends in quarantine, and is not posted for ever', async () => {
  for (const each of [rspamd, spamassassin]) {
    const silent = to('a', () => sleep(clock, 30_000).then(() => NO_ANSWER));
    each.plays(to('a', LEARNED, 4), silent);
  }
  const session = await begin();
  spool.drop('spam', 'a.eml', message('a'));
  for (let i = 0; i < 1_500 && spool.names('quarantine/spam').length === 0; i += 1) {
    spool.drop('ham', `${i}.eml`, message(`${i}`));
    await clock.flow(10_000, 200);
  }
  expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  expect(rspamd.of('a').length).toBeLessThan(40);
  await session.end();
});

test('what was taught is not forgotten by a clock that is years ahead, but when rspamd agrees', async () => {
  const session = await begin();
  await taught.put('a.eml', 'spam', Buffer.from('a'));
  const year = 2_000_000;
  utimesSync(spool.statePath('taught/a.eml'), year, year);
  rspamd.clock = year * 1_000;
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('taught')).toContain('a.eml');
  rspamd.clock = clock.wall();
  await clock.flow(2 * 3_600_000, 60_000);
  expect(spool.names('taught')).not.toContain('a.eml');
  await session.end();
});

describe('a fault of the disk in what was taught', () => {
  const told = (): string[] =>
    recorder.lines.filter(({ event }) => event.startsWith('disk.')).map(({ event }) => event);

  test('is over with the next message that is kept', async () => {
    const session = await begin();
    await clock.flow(1_000);
    let isFull = true;
    failSteps((step) =>
      isFull && step.call === 'openSync' && resolved(step).includes('tmp/.taught-')
        ? 'ENOSPC'
        : undefined,
    );
    await taught.put('a.eml', 'spam', Buffer.from('a'));
    expect(told()).toEqual(['disk.fault']);
    isFull = false;
    await taught.put('b.eml', 'spam', Buffer.from('b'));
    expect(told()).toEqual(['disk.fault', 'disk.ok']);
    await session.end();
  });

  test('that keeps it from being pruned lasts until it can be', async () => {
    let isBroken = true;
    failSteps((step) =>
      isBroken && step.call === 'opendirSync' && resolved(step).endsWith('/taught/.')
        ? 'EIO'
        : undefined,
    );
    const session = await begin();
    await clock.flow(20_000, 100);
    expect(told()).toEqual(['disk.fault']);
    isBroken = false;
    await clock.flow(6_000, 100);
    expect(told()).toEqual(['disk.fault', 'disk.ok']);
    await session.end();
  });
});
