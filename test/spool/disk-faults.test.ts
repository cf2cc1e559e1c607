import { beforeEach, expect, test } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { LocalFault, OperatorError } from '../../src/errors.ts';
import { DiskFaults } from '../../src/spool/disk-faults.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';

const PLACE = '/queue';

let clock: ManualClock;
let recorder: LogRecorder;
let bugs: Bugs;
let faults: DiskFaults;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  bugs = new Bugs({ clock, log: recorder.log });
  faults = new DiskFaults({ clock, log: recorder.log, bugs });
});

function fault(code: string): Error {
  return Object.assign(new Error(`${code}: it failed, open '/secret/name'`), { code });
}

test('a fault pauses its place for five seconds, and no other', () => {
  faults.raise(PLACE, fault('ENOSPC'));
  expect(faults.pause(PLACE)).toBe(5_000);
  expect(faults.pause('/other')).toBe(0);
  clock.advance(4_999);
  expect(faults.pause(PLACE)).toBe(1);
  clock.advance(1);
  expect(faults.pause(PLACE)).toBe(0);
});

test.each(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EMFILE', 'ENFILE', 'EACCES', 'EPERM', 'ELOOP'])(
  '%s names the place and says what to do, never the file',
  (code) => {
    faults.raise(PLACE, fault(code));
    const line = recorder.only('disk.fault');
    expect(line).toMatchObject({
      severity: 'err',
      fields: { place: PLACE, code, retrySeconds: 5 },
    });
    expect(line.message).toMatch(/^\/queue: .{20}/);
    expect(line.message).not.toContain('secret');
  },
);

test('success after a fault is said once', () => {
  faults.clear(PLACE);
  expect(recorder.lines).toEqual([]);
  faults.raise(PLACE, fault('ENOSPC'));
  faults.clear(PLACE);
  faults.clear(PLACE);
  expect(faults.pause(PLACE)).toBe(0);
  expect(recorder.fieldOf('disk.ok', 'place')).toEqual([PLACE]);
});

test('a place that comes and goes, as a disk that is almost full, is said once a minute', () => {
  for (let seconds = 0; seconds < 180; seconds += 5) {
    faults.raise(PLACE, fault('ENOSPC'));
    expect(faults.pause(PLACE)).toBe(5_000);
    faults.clear(PLACE);
    expect(faults.pause(PLACE)).toBe(0);
    clock.advance(5_000);
  }
  expect(recorder.of('disk.fault')).toHaveLength(3);
  expect(recorder.of('disk.ok')).toHaveLength(3);
});

test('an error of this program pauses its place, and is no fault of the disk', () => {
  faults.raise(PLACE, new TypeError('x is not a function'));
  expect(faults.pause(PLACE)).toBe(5_000);
  expect(recorder.lines.map(({ event }) => event)).toEqual(['daemon.bug']);
  expect(recorder.fieldOf('daemon.bug', 'where')).toEqual([PLACE]);
  expect(bugs.seen.count).toBe(1);
  faults.clear(PLACE);
  expect(recorder.of('disk.ok')).toEqual([]);
});

test.each([
  ['a helper that was killed', new LocalFault('flock ended with SIGKILL'), /SIGKILL$/],
  [
    'what has a cure',
    new OperatorError({
      code: 'owner.no-flock',
      message: 'it is gone',
      hint: 'mend it',
      command: 'apt-get install it',
      exitCode: 78,
    }),
    /it is gone; mend it: apt-get install it$/,
  ],
])('%s is a fault, and says what is to be said', (_, error, words) => {
  faults.raise(PLACE, error);
  expect(recorder.of('disk.fault')[0]?.message).toMatch(words);
  expect(bugs.seen.count).toBe(0);
});
