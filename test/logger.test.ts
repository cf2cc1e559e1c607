import { beforeEach, describe, expect, test } from 'vitest';
import { LogThrottle, createLog } from '../src/logger.ts';
import type { LoggerOptions } from '../src/logger.ts';
import { ManualClock } from './support/manual-clock.ts';

interface Recorder {
  readonly log: ReturnType<typeof createLog>;
  /** What was written, call by call. */
  readonly written: string[];
  readonly parsed: () => Record<string, unknown>[];
}

function recorder(options: Partial<LoggerOptions> = {}): Recorder {
  const written: string[] = [];
  const log = createLog({
    level: 7,
    format: 'json',
    write: (line) => written.push(line),
    ...options,
  });
  return { log, written, parsed: () => written.map((line) => JSON.parse(line) as never) };
}

describe('a line', () => {
  test('has level as the syslog number, severity as its name, time, event and msg', () => {
    const { log, written, parsed } = recorder();
    log('warning', 'spool.missing', 'spam is missing', { path: '/spool/spam' });
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(/^\{.*\}\n$/);
    expect(parsed()[0]).toEqual({
      level: 4,
      severity: 'warning',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      event: 'spool.missing',
      msg: 'spam is missing',
      path: '/spool/spam',
    });
  });

  test('leaves out what is not known', () => {
    const { log, parsed } = recorder();
    log('notice', 'message.learned', 'learned', {
      messageId: undefined,
      attempt: 0,
      proven: false,
    });
    expect(parsed()[0]).not.toHaveProperty('messageId');
    expect(parsed()[0]).toMatchObject({ attempt: 0, proven: false });
  });

  test('stays one line whatever is in it', () => {
    const { log, written, parsed } = recorder();
    log('notice', 'message.learned', 'a\nb', { file: 'c\r\nd\u2028', messageId: '"}\n{"' });
    expect(written.join('').match(/\n/g)).toHaveLength(1);
    expect(parsed()[0]).toMatchObject({ file: 'c\r\nd\u2028', messageId: '"}\n{"' });
  });
});

const SEVERITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;

test.each(SEVERITIES.map((name, level) => [level, name] as const))(
  'SYSLOG_LEVEL=%i lets %s and everything more severe through',
  (level) => {
    const { log, parsed } = recorder({ level });
    for (const severity of SEVERITIES) log(severity, 'disk.fault', severity);
    const passed = parsed().map(({ severity, level: number }) => [severity, number]);
    expect(passed).toEqual(SEVERITIES.slice(0, level + 1).map((each, index) => [each, index]));
  },
);

describe('the form for people', () => {
  test('is one line with time, level, severity, event, text and fields', () => {
    const { log, written } = recorder({ format: 'pretty' });
    log('err', 'disk.fault', 'the disk is full', { place: '/spool', code: 'ENOSPC', retry: 5 });
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(
      /^\d{4}-\S+Z 3 err +disk\.fault +the disk is full place=\/spool code=ENOSPC retry=5\n$/,
    );
  });

  test('says nothing twice', () => {
    const { log, written } = recorder({ format: 'pretty' });
    const reason = '/spool is owned by another daemon';
    log('notice', 'daemon.standby', `stands by: ${reason}`, { reason, path: '/spool', retry: 1 });
    expect(written.join('')).toMatch(/ stands by: \/spool is owned by another daemon retry=1\n$/);
  });

  test('stays one line whatever is in it', () => {
    const { log, written } = recorder({ format: 'pretty' });
    log('notice', 'message.learned', 'a\nb', { file: 'c\r\nd\x1b[31m' });
    expect(written.join('')).toMatch(/^[^\n\r\x1b]*\n$/); // eslint-disable-line no-control-regex
  });
});

describe('on a terminal', () => {
  const terminal = { columns: 60, hasColour: false };
  const fill = (options: Partial<LoggerOptions>): string => {
    const { log, written } = recorder(options);
    log('err', 'disk.fault', 'the disk is full; make room there', { place: '/spool/of/kopano' });
    return written.join('');
  };

  test('it is the form for people, with local time, wrapped between words', () => {
    const text = fill({ format: 'auto', terminal });
    const lines = text.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d err +disk\.fault +the disk is full;$/);
    expect(lines.slice(1)).toEqual(['         make room there place=/spool/of/kopano']);
    expect(lines.every((line) => line.length <= 60)).toBe(true);
  });

  test('the severity has a colour where that is wanted', () => {
    const colour = fill({ format: 'auto', terminal: { columns: 200, hasColour: true } });
    // eslint-disable-next-line no-control-regex -- the colour
    expect(colour).toMatch(/^\d\d:\d\d:\d\d \x1b\[31merr\x1b\[39m +disk\.fault/);
    expect(fill({ format: 'auto', terminal })).not.toContain('\x1b');
  });

  test('JSON is JSON there, too, and anything else gets JSON by itself', () => {
    for (const options of [{ format: 'json', terminal }, { format: 'auto' }] as const) {
      expect(JSON.parse(fill(options))).toMatchObject({ level: 3, event: 'disk.fault' });
    }
  });
});

test.each(['json', 'pretty'] as const)(
  'for journald each %s line begins with its priority',
  (format) => {
    const { log, written } = recorder({ format, isJournal: true });
    log('err', 'disk.fault', 'full');
    log('info', 'disk.ok', 'well');
    expect(written.map((line) => line.slice(0, 4))).toEqual(
      format === 'json' ? ['<3>{', '<6>{'] : ['<3>2', '<6>2'],
    );
  },
);

describe('the throttle', () => {
  let clock: ManualClock;
  let lines: LogThrottle;

  beforeEach(() => {
    clock = new ManualClock();
    lines = new LogThrottle(clock);
  });

  test('lets a line through once a minute while its state stays the same', () => {
    expect(lines.allows('a', 'down')).toBe(true);
    clock.advance(59_999);
    expect(lines.allows('a', 'down')).toBe(false);
    clock.advance(1);
    expect(lines.allows('a', 'down')).toBe(true);
    expect(lines.allows('a', 'down')).toBe(false);
  });

  test('lets another name, a changed state, and what was forgotten through at once', () => {
    expect(lines.allows('a', 'down')).toBe(true);
    expect(lines.allows('b', 'down')).toBe(true);
    expect(lines.allows('a', 'misconfigured')).toBe(true);
    expect(lines.allows('a', 'misconfigured')).toBe(false);
    lines.forget('a');
    expect(lines.allows('a', 'misconfigured')).toBe(true);
  });

  test('remembers the thousand names that were last let through', () => {
    for (let i = 0; i <= 1_000; i += 1) lines.allows(`name ${i}`);
    expect([1_000, 1, 0].map((i) => lines.allows(`name ${i}`))).toEqual([false, false, true]);
  });
});
