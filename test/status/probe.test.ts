import { beforeEach, describe, expect, test } from 'vitest';
import { Controller } from '../../src/delivery/controller.ts';
import type { ControllerState } from '../../src/delivery/controller.ts';
import { CachedProbe, obstacleOf, probe } from '../../src/status/probe.ts';
import type { Probe } from '../../src/status/probe.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { WRONG_PASSWORD } from '../support/scripted-trainer.ts';
import type { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { WELL, deliveryOf, wellTrainer } from '../support/status-bench.ts';

let clock: ManualClock;
let trainer: ScriptedTrainer;
let controller: Controller;
let cached: CachedProbe;
let stop: AbortController;
let asked: number;

beforeEach(() => {
  clock = new ManualClock();
  trainer = wellTrainer();
  asked = 0;
  const statistics = trainer.statistics.bind(trainer);
  trainer.statistics = () => {
    asked += 1;
    return statistics();
  };
  const { log } = new LogRecorder();
  controller = new Controller({ trainer, clock, random: () => 0.5, log });
  stop = new AbortController();
  cached = new CachedProbe(controller, clock, stop.signal);
});

/** Lets statistics come only when the asking is aborted. */
function neverAnswers(): void {
  const hang = (signal: AbortSignal): Promise<Statistics | undefined> => {
    asked += 1;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        resolve(undefined);
      });
    });
  };
  Object.assign(trainer, { statistics: hang });
}

describe('a probe', () => {
  test('shows the statistics', async () => {
    expect(await probe(trainer, clock, stop.signal)).toEqual({ kind: 'answers', statistics: WELL });
  });

  test('tells a controller that is not there from one that shows nothing', async () => {
    trainer.figures = undefined;
    expect(await probe(trainer, clock, stop.signal)).toEqual({ kind: 'closed' });
    trainer.clock = undefined;
    expect(await probe(trainer, clock, stop.signal)).toEqual({ kind: 'silent' });
  });

  test('takes two seconds at most, and then calls it silent', async () => {
    neverAnswers();
    const probed = probe(trainer, clock, stop.signal);
    clock.advance(2_000);
    expect(await probed).toEqual({ kind: 'silent' });
    expect(clock.timers).toBe(0);
  });

  test('ends with the stop', async () => {
    neverAnswers();
    const probed = probe(trainer, clock, stop.signal);
    stop.abort();
    expect(await probed).toEqual({ kind: 'silent' });
    expect(clock.timers).toBe(0);
  });
});

describe('the last probe', () => {
  test('asks nobody unless somebody wants to know', () => {
    clock.advance(600_000);
    expect(asked).toBe(0);
  });

  test('asks once for all who want to know at the same time, and again after two seconds', async () => {
    await Promise.all([cached.get(), cached.get()]);
    clock.advance(1_900);
    await cached.get();
    expect(asked).toBe(1);
    clock.advance(200);
    await cached.get();
    expect(asked).toBe(2);
  });

  test('sees within two seconds that a controller is back', async () => {
    trainer.figures = undefined;
    trainer.clock = undefined;
    expect((await cached.get()).kind).toBe('silent');
    trainer.figures = WELL;
    clock.advance(2_100);
    expect((await cached.get()).kind).toBe('answers');
  });

  test('does not repeat a password that may be wrong as often as it is asked', async () => {
    trainer.figures = undefined;
    for (let i = 0; i < 60; i += 1) {
      expect((await cached.get()).kind).toBe('closed');
      clock.advance(1_000);
    }
    expect(asked).toBe(1);
  });

  test('probes again where a message was proven since', async () => {
    trainer.figures = undefined;
    expect((await cached.get()).kind).toBe('closed');
    trainer.figures = WELL;
    clock.advance(1_000);
    controller.proved(deliveryOf('a'));
    expect((await cached.get()).kind).toBe('closed');
    clock.advance(1_100);
    expect((await cached.get()).kind).toBe('answers');
  });

  test('spares a controller that has refused the password', async () => {
    if (WRONG_PASSWORD.kind !== 'misconfigured') throw new Error('it is misconfigured');
    controller.misconfigured(WRONG_PASSWORD, false);
    expect((await cached.get()).kind).toBe('spared');
    expect(asked).toBe(0);
  });
});

const ANSWERS: Probe = { kind: 'answers', statistics: WELL };
const SILENT: Probe = { kind: 'silent' };
const CLOSED: Probe = { kind: 'closed' };
const SPARED: Probe = { kind: 'spared' };
const NO_BACKEND = answering({ hasBackend: false, learned: { spam: undefined, ham: undefined } });
const YOUNG = answering({
  hasBackend: false,
  learned: { spam: undefined, ham: undefined },
  uptimeSeconds: 1,
});
const NO_REDIS = answering({ learned: { spam: undefined, ham: undefined } });

function answering(statistics: Partial<typeof WELL>): Probe {
  return { kind: 'answers', statistics: { ...WELL, ...statistics } };
}

function obstacle(state: ControllerState, seen: Probe, isWanted = true): string | undefined {
  return obstacleOf({ state, reason: 'so it is', probe: seen, isWanted });
}

describe('a controller that is starting or up', () => {
  describe.each(['starting', 'up'] as const)('%s', (state) => {
    test.each([true, false])('is no obstacle when it shows a backend (wanted: %s)', (isWanted) => {
      expect(obstacle(state, ANSWERS, isWanted)).toBeUndefined();
    });

    test.each([
      ['does not answer', SILENT, /does not answer/],
      ['answers without statistics', CLOSED, /wrong password/],
      ['has refused the password', SPARED, /refuses the password/],
      ['has no backend', NO_BACKEND, /no Bayes backend/],
      ['has just been started', YOUNG, /still starting/],
      ['has a backend that does not answer', NO_REDIS, /backend does not answer/],
    ])('is one when it %s', (_, seen, says) => {
      expect(obstacle(state, seen)).toMatch(says);
    });
  });
});

describe('a controller that messages have shown to be ill', () => {
  test.each(['down', 'misconfigured', 'unproven'] as const)(
    '%s stays an obstacle while one waits, whatever it says of itself',
    (state) => {
      expect(obstacle(state, ANSWERS)).toBe(`${state}: so it is`);
    },
  );

  test.each(['down', 'misconfigured'] as const)(
    '%s is asked when nothing waits that could show that it is well again',
    (state) => {
      expect(obstacle(state, ANSWERS, false)).toBeUndefined();
      expect(obstacle(state, SILENT, false)).toMatch(/does not answer/);
    },
  );

  test('unproven is not believed even then', () => {
    expect(obstacle('unproven', ANSWERS, false)).toBe('unproven: so it is');
  });

  test('with a password that it refused is not asked', () => {
    expect(obstacle('misconfigured', SPARED, false)).toBe('misconfigured: so it is');
  });
});
