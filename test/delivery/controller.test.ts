import { beforeEach, describe, expect, test } from 'vitest';
import { Controller } from '../../src/delivery/controller.ts';
import type { ControllerFailure, ControllerState } from '../../src/delivery/controller.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import type { Outcome } from '../../src/trainers/trainer.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';

type Misconfigured = Extract<Outcome, { kind: 'misconfigured' }>;

const PASSWORD: Misconfigured = {
  kind: 'misconfigured',
  reason: '401 Unauthorized',
  hint: 'set RSPAMD_PASSWORD',
  password: true,
};
const PORT: Misconfigured = { ...PASSWORD, reason: '404', hint: 'RSPAMD_URL', password: false };

let clock: ManualClock;
let recorder: LogRecorder;
let controller: Controller;
let a: PendingMessage;
let b: PendingMessage;
let c: PendingMessage;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  controller = controllerOf(0.5);
  [a, b, c] = [delivery('a'), delivery('b'), delivery('c')];
});

function controllerOf(random: number): Controller {
  const { log } = recorder;
  return new Controller({ trainer: new ScriptedTrainer(), clock, random: () => random, log });
}

function delivery(key: string): PendingMessage {
  return new PendingMessage({ verdict: 'spam', key, bytes: 1 }, []);
}

/** A failure as it may be. */
function fails(how: Partial<ControllerFailure> = {}): void {
  controller.failed({ reason: 'no answer', answered: false, wasProbe: false, ...how });
}

/** Milliseconds until the next probe. */
function wait(): number {
  return controller.retryAt - clock.monotonic();
}

/** Brings the controller into a state. */
function bring(state: ControllerState): void {
  switch (state) {
    case 'starting':
      break;
    case 'up':
      controller.answered();
      break;
    case 'down':
      fails();
      break;
    case 'misconfigured':
      controller.misconfigured(PORT, false);
      break;
    case 'unproven':
      controller.unproven(a, false);
      controller.unproven(b, false);
      break;
  }
  expect(controller.state).toBe(state);
}

const PAUSED = ['down', 'misconfigured', 'unproven'] as const;

test('a starting controller stays starting after a first message without proof', () => {
  controller.unproven(a, false);
  expect(controller.state).toBe('starting');
  expect(recorder.lines).toEqual([]);
});

describe('a controller that is up', () => {
  beforeEach(() => bring('up'));

  test('is down after a failure, and tried again after a second', () => {
    fails({ reason: 'connection refused' });
    expect(controller.state).toBe('down');
    expect(controller.isOpen).toBe(false);
    expect(wait()).toBe(1_000);
    expect(controller.reason).toBe('connection refused');
    expect(recorder.fieldOf('controller.down', 'cure')).toEqual(['kopano-learnd doctor says more']);
    expect(recorder.of('controller.down')).toMatchObject([
      { severity: 'warning', fields: { reason: 'connection refused', retrySeconds: 1 } },
    ]);
  });

  test('stays up after one message without proof, and after the same one again', () => {
    controller.unproven(a, false);
    controller.unproven(a, false);
    expect(controller.state).toBe('up');
  });

  test('is unproven after a second, different message without proof', () => {
    controller.unproven(a, false);
    controller.unproven(b, false);
    expect(controller.state).toBe('unproven');
    const [line] = recorder.of('controller.unproven');
    expect(line).toMatchObject({ severity: 'err' });
    expect(line?.fields['cure']).toBe('look at its memory');
  });

  test('lets another message probe at once when a probe was only not proven', () => {
    fails();
    clock.advance(wait());
    controller.unproven(a, true);
    expect(controller.state).toBe('down');
    expect(controller.lacksOnlyProof).toBe(true);
    expect(controller.mayProbe(b, clock.monotonic())).toBe(true);
    expect(controller.mayProbe(a, clock.monotonic())).toBe(false);
    controller.proved(b);
    expect(controller.state).toBe('up');
    expect(a.proof.unprovenRounds).toBe(1);
  });

  test('no longer counts as unproven when it remembers something after all', () => {
    bring('unproven');
    controller.remembered();
    expect(controller.state).toBe('down');
    expect(controller.lacksOnlyProof).toBe(true);
    // whether it stores now is still to be shown, at once
    expect(wait()).toBeLessThanOrEqual(0);
    controller.proved(c);
    expect(controller.state).toBe('up');
  });
});

describe.each(PAUSED)('a controller that is %s', (state) => {
  beforeEach(() => bring(state));

  test('doubles its wait with every probe that fails, up to five minutes', () => {
    const waits = [wait()];
    for (let i = 0; i < 9; i += 1) {
      clock.advance(wait());
      if (state === 'down') fails({ wasProbe: true });
      if (state === 'misconfigured') controller.misconfigured(PORT, true);
      if (state === 'unproven') controller.unproven(i % 2 === 0 ? a : b, true);
      expect(controller.state).toBe(state);
      waits.push(wait());
    }
    for (const [index, ms] of waits.slice(1).entries()) {
      expect(ms).toBe(Math.min(2 * (waits[index] ?? 0), 300_000));
    }
    expect(waits.at(-1)).toBe(300_000);
  });

  test('does not count failures of what was in flight before', () => {
    const before = wait();
    for (let i = 0; i < 5; i += 1) fails();
    expect(wait()).toBe(before);
    expect(controller.state).toBe(state);
  });
});

test('after a failure that was an answer a probe that shows less is followed by the next one at once', () => {
  bring('up');
  fails({ answered: true, reason: '500 OOM' });
  clock.advance(wait());
  fails({ answered: true, wasProbe: true });
  expect(wait()).toBe(2_000);
  controller.answered();
  expect(wait()).toBe(0);
});

describe('misconfiguration', () => {
  test.each([0, 1])('of the password waits a minute at least, by chance %d', (random) => {
    controller = controllerOf(random);
    controller.misconfigured(PASSWORD, false);
    expect(wait()).toBeGreaterThanOrEqual(60_000);
  });

  test('of the password waits for another password, and no other state does', () => {
    expect(controller.awaitsPassword).toBe(false);
    controller.misconfigured(PASSWORD, false);
    expect(controller.awaitsPassword).toBe(true);
    controller.misconfigured(PORT, true);
    expect(controller.awaitsPassword).toBe(false);
    controller.misconfigured(PASSWORD, true);
    controller.proved(a);
    expect(controller.awaitsPassword).toBe(false);
    fails();
    expect(controller.awaitsPassword).toBe(false);
  });

  test('is given up at once in a single pass; an outage after some probes', () => {
    controller.misconfigured(PORT, false);
    expect(controller.isGivenUp(3)).toBe(true);
    controller.proved(a);
    expect(controller.isGivenUp(3)).toBe(false);
    for (const isGivenUp of [false, false, true]) {
      fails({ wasProbe: true });
      expect(controller.isGivenUp(3)).toBe(isGivenUp);
    }
  });
});

describe('a message that fails again', () => {
  beforeEach(() => {
    bring('up');
    fails({ message: a });
    expect(controller.repeats(a, true)).toBe(false);
  });

  test('is at fault when others were proven in between, and charged by the next proof, once', () => {
    controller.proved(b);
    expect(controller.repeats(a, true)).toBe(true);
    expect(controller.state).toBe('up');
    expect(controller.proved(b)).toEqual([a]);
    expect(controller.proved(c)).toEqual([]);
  });

  test('is not at fault while its controller fails', () => {
    controller.proved(b);
    fails({ message: b });
    expect(controller.repeats(a, true)).toBe(false);
  });

  const pardons: [what: string, happens: () => void][] = [
    ['when it was proven itself', () => controller.proved(a)],
    ['when its controller pauses before another one is proven', fails],
    ['when its controller turns out to be misconfigured', () => { controller.misconfigured(PORT, true); }],
    ['when it is gone from memory', () => controller.forget(a)],
  ]; // prettier-ignore

  test.each(pardons)('is not charged %s', (_what, happens) => {
    controller.proved(b);
    controller.repeats(a, true);
    happens();
    expect(controller.proved(c)).toEqual([]);
  });

  test('beside others is not charged: one of those may have done it', () => {
    controller.proved(b);
    expect(controller.repeats(a, false)).toBe(true);
    expect(controller.proved(c)).toEqual([]);
  });
});

describe('a message whose failure paused the controller', () => {
  test('lets another one probe at once, and does so itself after the backoff', () => {
    fails({ message: a });
    expect(controller.mayProbe(a, 0)).toBe(false);
    expect(controller.mayProbe(b, 0)).toBe(true);
    expect(controller.mayProbe(a, 1_000)).toBe(true);
  });

  test('does not lengthen the wait of the others by failing again and again', () => {
    fails();
    for (const ms of [2_000, 4_000, 8_000]) {
      clock.advance(wait());
      fails({ message: a, wasProbe: true });
      expect(wait()).toBe(ms);
      expect(controller.mayProbe(b, clock.monotonic())).toBe(true);
    }
  });

  test('has its own next try when that was due, however many others fail meanwhile', () => {
    fails({ message: a });
    for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      const dueAt = clock.monotonic() + ms;
      for (let i = 0; i < 20; i += 1) fails({ message: delivery(`${ms}-${i}`), wasProbe: true });
      expect(controller.mayProbe(a, dueAt - 1)).toBe(false);
      expect(controller.mayProbe(a, dueAt)).toBe(true);
      clock.advance(ms);
      fails({ message: a, wasProbe: true });
    }
  });

  test('lets others probe ever more slowly, when those fail as well', () => {
    fails({ message: a });
    const waits: number[] = [];
    for (let i = 0; i < 40; i += 1) {
      fails({ message: delivery(`m${i}`), wasProbe: true });
      waits.push(controller.freshAt - clock.monotonic());
      clock.advance(waits.at(-1) ?? 0);
    }
    expect(waits[0]).toBeLessThanOrEqual(500);
    expect(waits.slice(0, 8).reduce((sum, ms) => sum + ms)).toBeLessThan(10_000);
    expect(Math.max(...waits)).toBe(5_000);
  });
});

test('rounds without proof make a controller that was only down unproven, also without a probe', () => {
  bring('up');
  controller.unproven(a, false);
  fails();
  controller.unproven(b, false);
  expect(controller.state).toBe('unproven');
});

describe('a controller that recognises everything, and whose Bayes holds nothing', () => {
  /** Looks for so long at an empty Bayes. */
  function see(seconds: number, learns: number, uptimeSeconds = 9_999): void {
    for (let i = 0; i < seconds; i += 5) {
      clock.advance(5_000);
      const learned = { spam: 0, ham: 0 };
      controller.observe({ hasBackend: true, learned, learns, uptimeSeconds }, learns);
    }
  }

  beforeEach(() => {
    bring('up');
    see(5, 100);
    see(65, 110);
    expect(controller.state).toBe('up');
    see(5, 110);
  });

  test('is taught nothing more, whatever it goes on to answer', () => {
    expect(controller.state).toBe('misconfigured');
    expect(recorder.fieldOf('controller.misconfigured', 'cure')).toEqual([
      expect.stringContaining("a Redis cluster can't hold Bayes"),
    ]);
    controller.proved(a);
    controller.retryNow();
    expect(controller.isOpen).toBe(false);
    expect(controller.retryAt).toBe(Infinity);
    expect(controller.mayProbe(b, clock.monotonic() + 86_400_000)).toBe(false);
    // It is asked for its counts all the same.
    expect(controller.lacksOnlyProof).toBe(true);
  });

  test('is tried again after a start of rspamd', () => {
    see(5, 110, 1);
    expect(controller.mayProbe(a, clock.monotonic())).toBe(true);
    controller.proved(a);
    expect(controller.state).toBe('up');
  });
});
