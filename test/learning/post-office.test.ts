import { beforeEach, describe, expect, test } from 'vitest';
import { Controller } from '../../src/learning/controller.ts';
import { Lanes } from '../../src/learning/lanes.ts';
import { PostOffice } from '../../src/learning/post-office.ts';
import { acquits } from '../../src/learning/witness.ts';
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
const LANES = ['key:a', 'id:x'];

let lanes: Lanes;
let abort: AbortController;
let one: ScriptedTrainer;
let two: ScriptedTrainer;
let first: Controller;
let second: Controller;

beforeEach(() => {
  const clock = new ManualClock();
  const { log } = new LogRecorder();
  lanes = new Lanes(() => clock.monotonic());
  abort = new AbortController();
  one = new ScriptedTrainer('one');
  two = new ScriptedTrainer('two');
  first = new Controller({ trainer: one, clock, random: () => 0.5, log });
  second = new Controller({ trainer: two, clock, random: () => 0.5, log });
});

function office(controllers: readonly Controller[] = [first, second]): PostOffice {
  return new PostOffice(controllers, lanes, abort.signal, () => Promise.resolve());
}

/** Posts a message of these lanes to the first controller, which answers so. */
async function post(outcome: Outcome, its: readonly string[] = LANES): Promise<void> {
  one.plays(toAll(outcome));
  expect(await office().post({ controller: first, verdict: 'spam', body: BODY, lanes: its })).toBe(
    outcome,
  );
}

describe('a post that got no answer', () => {
  test('pins its lanes to its controller', async () => {
    await post(NO_ANSWER);
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
    expect(lanes.pinnedTo(['id:x'])).toBe('one');
  });

  test('pins them also when it was us who gave up', async () => {
    await post(ABORTED);
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
  });

  test('pins nothing where there is only one controller', async () => {
    one.plays(toAll(NO_ANSWER));
    const post = { controller: first, verdict: 'spam', body: BODY, lanes: LANES } as const;
    await office([first]).post(post);
    expect(lanes.pinnedTo(LANES)).toBeUndefined();
  });
});

describe('a pin', () => {
  const answers: [what: string, outcome: Outcome][] = [
    ['200', LEARNED],
    ['208', DUPLICATE],
    ['204', TOO_SHORT],
    ['413', TOO_LARGE],
    ['an unknown error', UNKNOWN_ERROR],
    ['an error of its Redis', NO_REDIS],
  ];

  test.each(answers)('ends when its controller answers the lane: %s', async (_what, outcome) => {
    await post(NO_ANSWER);
    await post(outcome);
    expect(lanes.pinnedTo(LANES)).toBeUndefined();
  });

  test('ends for all lanes when its controller refuses connections', async () => {
    await post(NO_ANSWER, ['key:other']);
    await post(NO_ANSWER);
    await post(REFUSES);
    expect(lanes.pinnedTo(['key:a', 'key:other'])).toBeUndefined();
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
    expect(lanes.pinnedTo(LANES)).toBe('one');
  });

  test('stays when another controller answers, or another lane', async () => {
    await post(NO_ANSWER);
    await post(LEARNED, ['key:other']);
    await office().post({ controller: second, verdict: 'spam', body: BODY, lanes: LANES });
    expect(lanes.pinnedTo(LANES)).toBe('one');
  });
});

describe('a witness', () => {
  beforeEach(() => {
    first.witness = { key: 'a', verdict: 'spam', body: BODY, lanes: LANES };
  });

  /** Asks the first controller for its witness; says what was released. */
  async function ask(): Promise<{ acquitted: boolean; released: string[]; pauses: number[] }> {
    const released: string[] = [];
    const pauses: number[] = [];
    const acquitted = await acquits(
      first,
      lanes,
      office(),
      (ms) => {
        pauses.push(ms);
        return Promise.resolve();
      },
      (key) => released.push(key),
    );
    return { acquitted, released, pauses };
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
    expect(await ask()).toMatchObject({ acquitted: false });
  });

  test('does not acquit a controller that answers 200 for ever, and is asked no more', async () => {
    one.plays(toAll(LEARNED));
    expect(await ask()).toMatchObject({ acquitted: false, pauses: [] });
    expect(await ask()).toMatchObject({ acquitted: false });
    expect(one.posts).toHaveLength(2);
  });

  test('that is counted once more acquits its controller, and is asked no more', async () => {
    one.plays(toAll(LEARNED, 1), toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ acquitted: true });
    expect(first.witness).toBeUndefined();
  });

  test('acquits a controller that knows it: 208, the same verdict and bytes', async () => {
    one.plays(toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ acquitted: true, released: ['a'] });
    expect(one.posts).toMatchObject([{ verdict: 'spam', name: 'message' }]);
    expect(two.posts).toEqual([]);
  });

  test('acquits a controller that had forgotten it and knows it again', async () => {
    one.plays(toAll(LEARNED, 1), toAll(DUPLICATE));
    expect(await ask()).toMatchObject({ acquitted: true });
  });

  test('is not asked while one of its lanes is held: a newer verdict may be on its way', async () => {
    lanes.hold(['id:x']);
    expect(await ask()).toMatchObject({ acquitted: false });
    expect(one.posts).toEqual([]);
    expect(lanes.isHeld('key:a')).toBe(false);
    expect(lanes.isHeld('id:x')).toBe(true);
  });

  test('holds its lanes while it is asked, and no longer', async () => {
    const seen: boolean[] = [];
    one.plays(
      toAll(() => {
        seen.push(lanes.isHeld('key:a') && lanes.isHeld('id:x'));
        return DUPLICATE;
      }),
    );
    await ask();
    expect(seen).toEqual([true]);
    expect(lanes.areFree(LANES)).toBe(true);
  });

  test('that is missing acquits nobody', async () => {
    first.witness = undefined;
    expect(await ask()).toMatchObject({ acquitted: false });
    expect(one.posts).toEqual([]);
  });

  test('survives being asked', async () => {
    one.plays(toAll(DUPLICATE));
    await ask();
    expect(first.witness).toBeDefined();
  });

  test('is forgotten as soon as one of its lanes is posted, on whatever controller', async () => {
    one.plays(toAll(DUPLICATE));
    const message = { verdict: 'ham', body: BODY } as const;
    await office().post({ controller: second, ...message, lanes: ['key:b', 'id:y'] });
    expect(first.witness).toBeDefined();
    await office().post({ controller: second, ...message, lanes: ['key:b', 'id:x'] });
    expect(first.witness).toBeUndefined();
  });

  test('is forgotten before the newer verdict is sent, not after', async () => {
    const seen: unknown[] = [];
    one.plays(
      toAll(() => {
        seen.push(first.witness);
        return DUPLICATE;
      }),
    );
    await office().post({ controller: first, verdict: 'ham', body: BODY, lanes: ['key:a'] });
    expect(seen).toEqual([undefined]);
  });
});
