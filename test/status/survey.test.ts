import { beforeEach, describe, expect, test } from 'vitest';
import { Controller } from '../../src/delivery/controller.ts';
import { Survey, lookAt } from '../../src/status/survey.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { WRONG_PASSWORD } from '../support/scripted-trainer.ts';
import type { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { WELL, deliveryOf, wellTrainer } from '../support/status-bench.ts';

let clock: ManualClock;
let trainer: ScriptedTrainer;
let controller: Controller;
let survey: Survey;
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
  survey = new Survey({ clock, stop: stop.signal });
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

describe('a look', () => {
  test('shows the statistics', async () => {
    expect(await lookAt(trainer, clock)).toEqual({ kind: 'answers', statistics: WELL });
  });

  test('tells a controller that is not there from one that shows nothing', async () => {
    trainer.figures = undefined;
    expect(await lookAt(trainer, clock)).toEqual({ kind: 'closed' });
    trainer.clock = undefined;
    expect(await lookAt(trainer, clock)).toEqual({ kind: 'silent' });
  });

  test('takes two seconds at most, and then calls it silent', async () => {
    neverAnswers();
    const look = lookAt(trainer, clock);
    clock.advance(2_000);
    expect(await look).toEqual({ kind: 'silent' });
    expect(clock.timers).toBe(0);
  });

  test('ends with the stop', async () => {
    neverAnswers();
    const look = lookAt(trainer, clock, stop.signal);
    stop.abort();
    expect(await look).toEqual({ kind: 'silent' });
    expect(clock.timers).toBe(0);
  });
});

describe('the survey', () => {
  test('asks nobody unless somebody wants to know', () => {
    clock.advance(600_000);
    expect(asked).toBe(0);
  });

  test('asks once for all who want to know at the same time, and again after two seconds', async () => {
    await Promise.all([survey.look(controller), survey.look(controller)]);
    clock.advance(1_900);
    await survey.look(controller);
    expect(asked).toBe(1);
    clock.advance(200);
    await survey.look(controller);
    expect(asked).toBe(2);
  });

  test('sees within two seconds that a controller is back', async () => {
    trainer.figures = undefined;
    trainer.clock = undefined;
    expect((await survey.look(controller)).kind).toBe('silent');
    trainer.figures = WELL;
    clock.advance(2_100);
    expect((await survey.look(controller)).kind).toBe('answers');
  });

  test('does not repeat a password that may be wrong as often as it is asked', async () => {
    trainer.figures = undefined;
    for (let i = 0; i < 60; i += 1) {
      expect((await survey.look(controller)).kind).toBe('closed');
      clock.advance(1_000);
    }
    expect(asked).toBe(1);
  });

  test('looks again where a message was proven since', async () => {
    trainer.figures = undefined;
    expect((await survey.look(controller)).kind).toBe('closed');
    trainer.figures = WELL;
    clock.advance(1_000);
    controller.proved(deliveryOf('a'));
    expect((await survey.look(controller)).kind).toBe('closed');
    clock.advance(1_100);
    expect((await survey.look(controller)).kind).toBe('answers');
  });

  test('spares a controller that has refused the password', async () => {
    if (WRONG_PASSWORD.kind !== 'misconfigured') throw new Error('it is misconfigured');
    controller.misconfigured(WRONG_PASSWORD, false);
    expect((await survey.look(controller)).kind).toBe('spared');
    expect(asked).toBe(0);
  });
});
