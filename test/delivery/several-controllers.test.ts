import { beforeEach, describe, expect, test } from 'vitest';
import { BOUND_MS, preferenceOf } from '../../src/delivery/affinity.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import { MOST_POSTS, reasonToLetGo } from '../../src/delivery/proof.ts';
import { Suspects } from '../../src/delivery/suspects.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  Holder,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  ScriptedTrainer,
  UNKNOWN_ERROR,
  WRONG_PASSWORD,
  to,
  toAll,
} from '../support/scripted-trainer.ts';

const NAMES = ['http://one:11334', 'http://two:11334'] as const;

/** Keys that prefer this controller. */
function keysOf(name: string, count: number): string[] {
  const keys: string[] = [];
  for (let i = 0; keys.length < count; i += 1) {
    if (preferenceOf(`${i}`, NAMES)[0] === name) keys.push(`${i}`);
  }
  return keys;
}

let one: ScriptedTrainer;
let two: ScriptedTrainer;
let bench: DeliveryBench;

beforeEach(async () => {
  [one, two] = [new ScriptedTrainer(NAMES[0]), new ScriptedTrainer(NAMES[1])];
  bench = new DeliveryBench({ trainers: [one, two], concurrency: 2 });
  // both are up and have a witness
  for (const [index, name] of NAMES.entries()) {
    const [key = ''] = keysOf(name, 1);
    bench.put(key, { name: `witness-${index}` });
  }
  await bench.finish();
  bench.forget();
});

/** Some keys, but that of the witness. */
function freshKeysOf(name: string, count: number): string[] {
  return keysOf(name, count + 1).slice(1);
}

/** Puts a message that prefers this controller. @returns its key */
function putFor(name: string): string {
  const [key = ''] = freshKeysOf(name, 1);
  bench.put(key);
  return key;
}

describe('a key', () => {
  test('goes to the same controller always, with every post of it', async () => {
    const ones = freshKeysOf(NAMES[0], 10);
    const twos = freshKeysOf(NAMES[1], 10);
    for (let round = 0; round < 2; round += 1) {
      for (const key of [...ones, ...twos]) bench.put(key, { name: `${key}-${round}` });
      await bench.finish();
    }
    const keyOf = (name: string): string => name.replace(/-\d$/, '');
    expect(new Set(one.names.map(keyOf))).toEqual(new Set(ones));
    expect(new Set(two.names.map(keyOf))).toEqual(new Set(twos));
  });

  test.each([
    ['refuses', REFUSES],
    ['has no Redis', NO_REDIS],
    ['wants another password', WRONG_PASSWORD],
    ['answers with unknown errors', UNKNOWN_ERROR],
  ])('goes to the other one while its own %s, and returns to it', async (_what, outcome) => {
    one.plays(toAll(outcome));
    const ones = freshKeysOf(NAMES[0], 20);
    for (const key of ones) bench.put(key);
    await bench.finish();
    expect(new Set(two.names)).toEqual(new Set(ones));
    expect(bench.events.counts.learned).toBe(22);
    expect(bench.quarantined).toEqual([]);
    one.plays();
    // the next of its keys probes it
    await bench.flow(400_000);
    for (const key of ones) bench.put(key, { name: `${key} again` });
    await bench.finish();
    expect(one.names.at(-1)).toMatch(/again$/);
    two.posts.length = 0;
    for (const key of ones) bench.put(key, { name: `${key} once more` });
    await bench.finish();
    expect(two.names).toEqual([]);
  });

  test('of a controller that is full waits for it', async () => {
    const holder = await bench.hold(freshKeysOf(NAMES[0], 5), 2);
    await bench.flow(10_000);
    expect(two.posts).toEqual([]);
    expect(bench.scheduler.counts).toMatchObject({ pending: 3, inFlight: 2 });
    holder.open(DUPLICATE);
    await bench.finish();
  });
});

describe('the failure of one', () => {
  test('charges no message when the other learns it', async () => {
    one.plays(toAll(NO_ANSWER));
    putFor(NAMES[0]);
    await bench.flow(60_000);
    expect(bench.recorder.of('message.deferred')).toEqual([]);
    expect(bench.quarantined).toEqual([]);
  });

  test('that is one message’s doing is found out by the next one, however long it has lasted', async () => {
    const trainers = NAMES.map((name) => new ScriptedTrainer(name));
    const others = new DeliveryBench({ trainers, maxAttempts: 1 });
    const [bad = '', ...good] = freshKeysOf(NAMES[0], 10);
    // a worker that crashes refuses connections for a moment
    trainers[0]?.plays(to(bad, REFUSES, 1), to(bad, NO_ANSWER));
    trainers[1]?.plays(to(bad, REFUSES, 1), to(bad, NO_ANSWER));
    others.put(bad);
    await others.flow(1_800_000);
    expect(others.quarantined).toEqual([]);
    for (const key of good) {
      others.put(key);
      await others.flow(60_000);
    }
    expect(others.quarantined).toEqual([bad]);
    expect(others.isEmpty).toBe(true);
    expect(others.controllers.map(({ state }) => state)).toContain('up');
  });

  test('keeps a message that crashed it no longer than until it answers that one again', async () => {
    const [bound = '', ...fresh] = freshKeysOf(NAMES[0], 200);
    // a worker dies with the store behind it, and takes long to hear of the new one
    one.plays(to(bound, NO_ANSWER, 1), toAll(NO_REDIS));
    two.plays(toAll(NO_REDIS));
    bench.put(bound);
    await bench.flowUntil('it has no answer', () => one.names.length === 1);
    for (const key of fresh) {
      bench.put(key);
      await bench.flow(200);
    }
    two.plays();
    await bench.flow(6_000);
    expect(two.names).toContain(bound);
    await bench.finish();
    expect(bench.events.counts.learned).toBe(202);
  });

  test('does not keep the other one from its own', async () => {
    const holder = await bench.hold(freshKeysOf(NAMES[0], 1));
    for (const key of freshKeysOf(NAMES[1], 20)) bench.put(key);
    await bench.flowUntil('the others are learned', () => bench.events.counts.learned === 22);
    holder.open(DUPLICATE);
  });
});

describe('a message whose post got no answer', () => {
  let key: string;

  beforeEach(async () => {
    one.plays(toAll(NO_ANSWER));
    key = putFor(NAMES[0]);
    await bench.flowUntil('it got no answer', () => !bench.controller.isOpen);
    expect(one.names[0]).toBe(key);
  });

  test('waits for that controller, however long the other one is free', async () => {
    await bench.flow(BOUND_MS / 2);
    expect(two.posts).toEqual([]);
    expect(one.posts.length).toBeGreaterThan(5);
    expect(bench.spool.queued).toEqual([`spam/${key}`]);
    one.plays();
    await bench.finish(50);
    expect(two.posts).toEqual([]);
    expect(bench.events.counts.learned).toBe(3);
  });

  test('takes its newer verdict with it', async () => {
    bench.spool.queue.removeKey(key);
    bench.scheduler.superseded('spam', key);
    bench.put(key, { verdict: 'ham', name: 'newer' });
    await bench.flow(600_000);
    expect(two.posts).toEqual([]);
    one.plays();
    await bench.finish(50);
    expect(one.of('newer').map(({ verdict }) => verdict)).toContain('ham');
    expect(two.posts).toEqual([]);
    expect(one.memory.get('newer')).toBe('ham');
  });

  test('takes another message with the same Message-ID with it', async () => {
    const [other = ''] = freshKeysOf(NAMES[1], 1);
    bench.put(other, { id: `${key}@example.org` });
    await bench.flow(600_000);
    expect(two.posts).toEqual([]);
    expect(bench.spool.queued).toHaveLength(2);
    one.plays();
    await bench.finish(50);
    expect(two.posts).toEqual([]);
  });

  test('does not keep others of its controller, which go to the other one', async () => {
    const others = freshKeysOf(NAMES[0], 11).slice(1);
    for (const other of others) bench.put(other);
    // but for one, which has shown that it isn't the first one's fault, and waits with it
    await bench.flowUntil('the others are learned', () => two.names.length === 18);
    const [probe] = others.filter((other) => !two.names.includes(other));
    expect(new Set([...two.names, probe])).toEqual(new Set(others));
    expect(one.names).toContain(probe);
  });

  test('goes to the other one when that controller’s process is gone', async () => {
    one.plays(toAll(REFUSES));
    await bench.finish(50);
    expect(new Set(two.names)).toEqual(new Set([key]));
    expect(bench.clock.monotonic()).toBeLessThan(BOUND_MS);
  });

  test('goes to the other one after an hour of silence', async () => {
    await bench.flow(BOUND_MS - 60_000);
    expect(two.posts).toEqual([]);
    await bench.finish(500);
    expect(new Set(two.names)).toEqual(new Set([key]));
    expect(bench.clock.monotonic()).toBeGreaterThanOrEqual(BOUND_MS);
  });

  test('that the other one has answered in between has to be heard by both', async () => {
    // pinned to both: each may wake and carry out what it was sent
    bench.affinity.bind([`key:${key}`], NAMES[1]);
    one.plays();
    await bench.finish(50);
    expect(one.names).toContain(key);
    expect(new Set(two.names)).toEqual(new Set([key]));
    expect(bench.events.counts.learned + bench.events.counts.duplicate).toBe(3);
  });
});

test('so does one whose hash a silent controller may still add, which is no fault of its own', async () => {
  one.plays(toAll({ kind: 'unavailable', reason: 'no answer', contact: 'silent' }));
  putFor(NAMES[0]);
  await bench.flow(BOUND_MS / 2);
  expect(two.posts).toEqual([]);
  expect(one.posts.length).toBeGreaterThan(5);
});

test('what was posted as often as it may be is let go by a proof where it was posted last', () => {
  const entry = { verdict: 'spam', key: 'spent', bytes: 1 } as const;
  const [spent, other] = [new PendingMessage(entry, NAMES), new PendingMessage(entry, NAMES)];
  spent.proof.posts = MOST_POSTS;
  spent.proof.acknowledged = { controller: NAMES[0], sequence: 1, at: 0 };
  const [atOne, atTwo] = NAMES.map((name) => new Suspects(name));
  atOne?.addUnproven(spent, false);
  atTwo?.addUnproven(spent, false);
  atTwo?.proved(other);
  expect(reasonToLetGo(spent.proof)).toBeUndefined();
  atOne?.proved(other);
  expect(reasonToLetGo(spent.proof)).toMatch(/other messages were remembered/);
});

test('what failed at a controller is not its probe while the other one works', async () => {
  const [key = '', other = ''] = freshKeysOf(NAMES[0], 2);
  one.plays(toAll(REFUSES));
  const holder = new Holder();
  two.plays(holder.of());
  const busy = freshKeysOf(NAMES[1], 2);
  for (const each of busy) bench.put(each);
  await bench.flowUntil('the other one is full', () => holder.names.length === 2);
  bench.put(key);
  await bench.flow(20_000);
  expect(one.names).toEqual([key]);
  // what is new shows whether it is back
  bench.put(other);
  await bench.flow(1_000);
  expect(one.names).toEqual([key, other]);
  one.plays();
  holder.open();
  two.plays();
  await bench.finish(50);
});

describe('one pass', () => {
  test('is over when all that is left waits for controllers that are given up', async () => {
    for (const trainer of [one, two]) trainer.plays(toAll(REFUSES));
    for (const key of freshKeysOf(NAMES[0], 3)) bench.put(key);
    expect(bench.scheduler.isSpent(3)).toBe(false);
    await bench.flowUntil('it is over', () => bench.scheduler.isSpent(3));
    expect(bench.clock.monotonic()).toBeLessThan(60_000);
    expect(bench.spool.queued).toHaveLength(3);
  });

  test('is over when what is left is bound to the one that is given up', async () => {
    one.plays(toAll(NO_ANSWER));
    const key = putFor(NAMES[0]);
    await bench.flowUntil('it is over', () => bench.scheduler.isSpent(3));
    expect(bench.clock.monotonic()).toBeLessThan(60_000);
    expect(bench.spool.queued).toEqual([`spam/${key}`]);
  });

  test('is not over while something is in flight, or can still go', async () => {
    const holder = new Holder();
    one.plays(to('x', REFUSES), holder.of());
    putFor(NAMES[0]);
    expect(bench.scheduler.isSpent(3)).toBe(false);
    await bench.flowUntil('it is posted', () => holder.names.length === 1);
    expect(bench.scheduler.isSpent(3)).toBe(false);
    holder.open(DUPLICATE);
    await bench.finish();
    expect(bench.scheduler.isSpent(3)).toBe(true);
  });
});
