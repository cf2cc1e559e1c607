import { beforeEach, describe, expect, test } from 'vitest';
import { Controller } from '../../src/delivery/controller.ts';
import { Affinity } from '../../src/delivery/affinity.ts';
import { Posts } from '../../src/delivery/posts.ts';
import type { Post } from '../../src/delivery/posts.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import type { Outcome } from '../../src/trainers/trainer.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  ABORTED,
  DUPLICATE,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  ScriptedTrainer,
  TOO_LARGE,
  TOO_SHORT,
  UNKNOWN_ERROR,
  UNREACHABLE,
  WRONG_PASSWORD,
  toAll,
} from '../support/scripted-trainer.ts';

const BODY = Buffer.from('X-Test: message\n\nbody');
const LOCKS = ['key:a', 'id:x'];

let locks: MessageLocks;
let affinity: Affinity;
let abort: AbortController;
let one: ScriptedTrainer;
let two: ScriptedTrainer;
let first: Controller;
let second: Controller;

beforeEach(() => {
  const clock = new ManualClock();
  const { log } = new LogRecorder();
  locks = new MessageLocks();
  affinity = new Affinity(() => clock.monotonic());
  abort = new AbortController();
  one = new ScriptedTrainer('one');
  two = new ScriptedTrainer('two');
  first = new Controller({ trainer: one, clock, random: () => 0.5, log });
  second = new Controller({ trainer: two, clock, random: () => 0.5, log });
});

/** What went on while posts were made. */
const pauses: number[] = [];

function postsOf(controllers: readonly Controller[] = [first, second]): Posts {
  const pause = (ms: number): Promise<void> => {
    pauses.push(ms);
    return Promise.resolve();
  };
  return new Posts({ controllers, locks, affinity, signal: abort.signal, pause });
}

function messageOf(its: readonly string[] = LOCKS): Post {
  return { key: 'a', verdict: 'spam', body: BODY, locks: its };
}

/** Posts a message with these locks to the first controller, which answers so. */
async function post(outcome: Outcome, its: readonly string[] = LOCKS): Promise<void> {
  one.plays(toAll(outcome));
  expect(await postsOf().post(first, messageOf(its))).toBe(outcome);
}

describe('a post that got no answer', () => {
  test('binds its locks to its controller', async () => {
    await post(NO_ANSWER);
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    expect(affinity.controllerOf(['id:x'])).toBe('one');
  });

  test('binds them also when it was us who gave up', async () => {
    await post(ABORTED);
    expect(affinity.controllerOf(['key:a'])).toBe('one');
  });

  test('binds nothing where there is only one controller', async () => {
    one.plays(toAll(NO_ANSWER));
    await postsOf([first]).post(first, messageOf());
    expect(affinity.controllerOf(LOCKS)).toBeUndefined();
  });
});

describe('a bond', () => {
  const answers: [what: string, outcome: Outcome][] = [
    ['200', LEARNED],
    ['208', DUPLICATE],
    ['204', TOO_SHORT],
    ['413', TOO_LARGE],
    ['an unknown error', UNKNOWN_ERROR],
    ['an error of its Redis', NO_REDIS],
  ];

  test.each(answers)('ends when its controller answers the lock: %s', async (_what, outcome) => {
    await post(NO_ANSWER);
    await post(outcome);
    expect(affinity.controllerOf(LOCKS)).toBeUndefined();
  });

  test('ends for all locks when its controller refuses connections', async () => {
    await post(NO_ANSWER, ['key:other']);
    await post(NO_ANSWER);
    await post(REFUSES);
    expect(affinity.controllerOf(['key:a', 'key:other'])).toBeUndefined();
  });

  const silences: [what: string, outcome: Outcome][] = [
    ['it stays silent', NO_ANSWER],
    ['it can’t be reached', UNREACHABLE],
    ['it refuses the password', WRONG_PASSWORD],
    ['we give up', ABORTED],
  ];

  test.each(silences)('stays while %s', async (_what, outcome) => {
    await post(NO_ANSWER);
    await post(outcome);
    expect(affinity.controllerOf(LOCKS)).toBe('one');
  });

  test('stays when another controller answers, or another lock', async () => {
    await post(NO_ANSWER);
    await post(LEARNED, ['key:other']);
    await postsOf().post(second, messageOf());
    expect(affinity.controllerOf(LOCKS)).toBe('one');
  });
});

describe('a canary', () => {
  let posts: Posts;

  beforeEach(() => {
    pauses.length = 0;
    posts = postsOf();
    posts.keepCanary(first, messageOf());
  });

  /** Asks the first controller for its canary; says which keys were released. */
  async function ask(): Promise<{ alive: boolean; released: string[] }> {
    const released: string[] = [];
    const end = new AbortController();
    locks.onKeyReleased((key) => released.push(key), end.signal);
    const alive = await posts.isAlive(first);
    end.abort();
    return { alive, released };
  }

  test.each([
    ['no answer', NO_ANSWER],
    ['an unknown error', UNKNOWN_ERROR],
    ['an error of its Redis', NO_REDIS],
    ['a refused connection', REFUSES],
    ['a 204', { kind: 'refused', reason: '204' } satisfies Outcome],
    ['a wrong password', WRONG_PASSWORD],
  ])('does not acquit its controller with %s', async (_what, outcome) => {
    one.plays(toAll(outcome));
    expect(await ask()).toMatchObject({ alive: false });
  });

  test('does not acquit a controller that answers 200 for ever, and is asked no more', async () => {
    one.plays(toAll(LEARNED));
    expect(await ask()).toMatchObject({ alive: false });
    expect(await ask()).toMatchObject({ alive: false });
    expect(one.posts).toHaveLength(2);
    expect(pauses).toEqual([]);
  });

  test('that is counted once more acquits its controller, and is asked no more', async () => {
    one.plays(toAll(LEARNED, 1), toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ alive: true });
    one.posts.length = 0;
    expect(await ask()).toMatchObject({ alive: false });
    expect(one.posts).toEqual([]);
  });

  test('acquits a controller that knows it: 208, the same verdict and bytes', async () => {
    one.plays(toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ alive: true, released: ['a'] });
    expect(one.posts).toMatchObject([{ verdict: 'spam', name: 'message' }]);
    expect(two.posts).toEqual([]);
  });

  test('acquits a controller that had forgotten it and knows it again', async () => {
    one.plays(toAll(LEARNED, 1), toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ alive: true });
  });

  test('is not asked while one of its locks is held: a newer verdict may be on its way', async () => {
    locks.hold(['id:x']);
    expect(await ask()).toMatchObject({ alive: false });
    expect(one.posts).toEqual([]);
    expect(locks.areFree(['key:a'])).toBe(true);
    expect(locks.areFree(['id:x'])).toBe(false);
  });

  test('holds its locks while it is asked, and no longer', async () => {
    const seen: boolean[] = [];
    one.plays(
      toAll(() => {
        seen.push(locks.areFree(['key:a']) || locks.areFree(['id:x']));
        return DUPLICATE;
      }),
    );
    await ask();
    expect(seen).toEqual([false]);
    expect(locks.areFree(LOCKS)).toBe(true);
  });

  test('that is missing shows nothing', async () => {
    posts = postsOf();
    expect(await ask()).toMatchObject({ alive: false });
    expect(one.posts).toEqual([]);
  });

  test('survives being asked', async () => {
    one.plays(toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ alive: true });
    expect(await ask()).toMatchObject({ alive: true });
  });

  test('is never a large message', async () => {
    posts = postsOf();
    posts.keepCanary(first, { ...messageOf(), body: Buffer.alloc(300_000) });
    expect(await ask()).toMatchObject({ alive: false });
  });

  test('is forgotten as soon as one of its locks is posted, on whatever controller', async () => {
    one.plays(toAll(DUPLICATE));
    await posts.post(second, { ...messageOf(['key:b', 'id:y']), verdict: 'ham' });
    expect(await ask()).toMatchObject({ alive: true });
    await posts.post(second, { ...messageOf(['key:b', 'id:x']), verdict: 'ham' });
    expect(await ask()).toMatchObject({ alive: false });
  });

  test('is forgotten before the newer verdict is sent, not after', async () => {
    const seen: boolean[] = [];
    one.plays(
      toAll(async ({ verdict }) => {
        if (verdict === 'ham') seen.push((await ask()).alive);
        return DUPLICATE;
      }),
    );
    await posts.post(first, { ...messageOf(['key:a']), verdict: 'ham' });
    expect(seen).toEqual([false]);
  });
});
