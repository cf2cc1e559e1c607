import { readFileSync } from 'node:fs';
import { runInThisContext } from 'node:vm';
import { beforeEach, describe, expect, test } from 'vitest';
import { Bugs, formatBug } from '../src/bugs.ts';
import { EXIT, LocalFault, OperatorError, errnoOf, isBug } from '../src/errors.ts';
import { LogRecorder } from './support/log-recorder.ts';
import { ManualClock } from './support/manual-clock.ts';

const PASSWORD = 'hunter2-and-more';
const MAIL = 'Subject: the diagnosis of Erika\n    at home (all of us)\n\nDear Erika,';

let clock: ManualClock;
let recorder: LogRecorder;
let bugs: Bugs;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  bugs = new Bugs({ clock, log: recorder.log });
});

/** What an action throws. */
function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** What the log says of an error. */
function told(error: unknown): { readonly error: unknown; readonly stack: unknown } {
  bugs.report(error, 'here');
  const { error: words, stack } = recorder.lines.at(-1)?.fields ?? {};
  return { error: words, stack };
}

/** What the types don't allow. */
function evaluate(source: string): unknown {
  return runInThisContext(`'use strict'; ${source}`) as unknown;
}

function call(act: (...given: never[]) => unknown, ...given: readonly unknown[]): unknown {
  return Reflect.apply(act, undefined, given) as unknown;
}

function failWith(message: string): never {
  throw new Error(message);
}

describe('an error is a bug', () => {
  test.each([
    ['a TypeError', new TypeError('x')],
    ['a wrong call of Node', thrownBy(() => call(readFileSync, {}))],
    ['an error without a code', new Error('x')],
    ['what is no error', 'x'],
    ['nothing', undefined],
  ])('when it is %s', (_, error) => {
    expect(isBug(error)).toBe(true);
    expect(errnoOf(error)).toBeUndefined();
  });

  const foreseen = { code: 'a.b', message: 'm', hint: 'h', exitCode: EXIT.failure };
  test.each([
    ['the system says it', thrownBy(() => readFileSync('/nowhere'))],
    ['the resolver says it', Object.assign(new Error('x'), { code: 'EAI_AGAIN' })],
    ['it has a cure', new OperatorError(foreseen)],
    ['it is trouble of the machine', new LocalFault('flock ended with SIGKILL')],
  ])('and not when %s', (_, error) => expect(isBug(error)).toBe(false));
});

describe('what is told of a bug', () => {
  test.each([
    ['({}).entry.key', "TypeError: Cannot read properties of undefined (reading 'key')"],
    ['const none = {}; none.act()', 'TypeError: none.act is not a function'],
    ['nowhere', 'ReferenceError: nowhere is not defined'],
    ['new Array(-1)', 'RangeError: Invalid array length'],
  ])('is its kind and the names in the source: %s', (source, error) => {
    expect(told(thrownBy(() => evaluate(`{ ${source} }`))).error).toBe(error);
  });

  test('is where it came from, in one line, the nearest place first', () => {
    expect(told(thrownBy(() => failWith('x'))).stack).toMatch(
      /^at failWith [^|\n]*bugs\.test\.ts:\d+:\d+\) \| at [^|\n]*bugs\.test\.ts[^\n]*$/,
    );
  });

  test('leaves the folder of the program out', () => {
    const error = thrownBy(() => Reflect.construct(Bugs, [undefined]));
    expect(told(error).stack).toMatch(/^at new Bugs \(bugs\.ts:\d+:\d+\)/);
  });

  const mail = JSON.stringify(MAIL);
  test.each<[string, () => unknown]>([
    ['JSON.parse', () => evaluate(`JSON.parse(${mail})`)],
    ['a wrong argument', () => call(readFileSync, [PASSWORD])],
    ['a wrong option', () => call(readFileSync, '/', { encoding: MAIL })],
    ['the operator in', () => evaluate(`'x' in ${mail}`)],
    ['a property of a text', () => evaluate(`Object.assign(${mail}, { 0: 'x' })`)],
    ['a regular expression', () => new RegExp(`(${MAIL}`)],
    ['a number', () => BigInt(MAIL)],
    ['a URL', () => new URL(PASSWORD)],
    ['a call of a text', () => evaluate(`[1].map(${mail})`)],
    ['words that imitate a sentence of V8', () => failWith(`${MAIL} is not a function`)],
    ['words that imitate a stack', () => failWith(`x\n    at ${PASSWORD}\n    at home`)],
  ])('never repeats mail or a password: %s', (_, act) => {
    const error = thrownBy(act);
    const all = JSON.stringify([told(error), formatBug(error)]);
    expect(all).not.toMatch(/Erika|hunter2|diagnosis|home/);
    expect(all).toMatch(/bugs\.test\.ts:\d+/);
  });

  test('survives words that were changed later, and a name that is none', () => {
    const error = new Error(MAIL);
    error.message = 'changed';
    error.name = MAIL;
    expect(told(error)).toEqual({ error: 'Error', stack: expect.stringMatching(/^at /) as string });
    expect(JSON.stringify(recorder.lines)).not.toMatch(/Erika|home/);
  });

  test.each(['text', null, undefined, { message: MAIL }])('of what is no error: %j', (thrown) => {
    expect(told(thrown)).toEqual({
      error: `what was thrown is no error: ${typeof thrown}`,
      stack: '',
    });
  });

  test('names the code of a system error that nobody awaited', () => {
    expect(told(thrownBy(() => readFileSync('/nowhere'))).error).toBe('Error (ENOENT)');
  });
});

describe('the bugs', () => {
  test('are one line each, at level err, with a stack and what met it', () => {
    bugs.report(new TypeError('x is not a function'), 'the dispatcher', { file: 'a.eml' });
    expect(recorder.lines).toMatchObject([
      {
        severity: 'err',
        event: 'daemon.bug',
        fields: { where: 'the dispatcher', file: 'a.eml', error: 'TypeError: x is not a function' },
      },
    ]);
  });

  test('are counted, and the last one is known', () => {
    expect(bugs.seen).toEqual({ count: 0, last: null });
    bugs.report(new TypeError('x'), 'here');
    clock.advance(1_000);
    bugs.report(new RangeError('x'), 'there');
    expect(bugs.seen).toEqual({
      count: 2,
      last: { where: 'there', error: 'RangeError', at: '2026-03-14T12:00:01.000Z' },
    });
  });

  test('are counted each time, and the same one is said once a minute', () => {
    for (let seconds = 0; seconds < 120; seconds += 1) {
      bugs.guard('here', () => failWith('x'));
      clock.advance(1_000);
    }
    expect(bugs.seen.count).toBe(120);
    expect(recorder.of('daemon.bug')).toHaveLength(2);
  });

  test('of another kind or from another place are said at once', () => {
    const error = new TypeError('x');
    bugs.report(error, 'here');
    bugs.report(error, 'there');
    bugs.report(new RangeError('x'), 'here');
    expect(recorder.of('daemon.bug')).toHaveLength(3);
  });

  test('that a guard meets stay in it', () => {
    bugs.guard('a listener', () => failWith('x'));
    bugs.guard('a listener', () => undefined);
    expect(recorder.fieldOf('daemon.bug', 'where')).toEqual(['a listener']);
  });
});
