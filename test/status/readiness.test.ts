import { describe, expect, test } from 'vitest';
import type { ControllerState } from '../../src/delivery/controller.ts';
import { obstacleAt } from '../../src/status/readiness.ts';
import type { Look } from '../../src/status/survey.ts';
import { WELL } from '../support/status-bench.ts';

const ANSWERS: Look = { kind: 'answers', statistics: WELL };
const SILENT: Look = { kind: 'silent' };
const CLOSED: Look = { kind: 'closed' };
const SPARED: Look = { kind: 'spared' };
const NO_BACKEND = look({ hasBackend: false, learned: { spam: undefined, ham: undefined } });
const YOUNG = look({
  hasBackend: false,
  learned: { spam: undefined, ham: undefined },
  uptimeSeconds: 1,
});
const NO_REDIS = look({ learned: { spam: undefined, ham: undefined } });

function look(statistics: Partial<typeof WELL>): Look {
  return { kind: 'answers', statistics: { ...WELL, ...statistics } };
}

function obstacle(state: ControllerState, seen: Look, isWanted = true): string | undefined {
  return obstacleAt({ state, reason: 'so it is', look: seen, isWanted });
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
