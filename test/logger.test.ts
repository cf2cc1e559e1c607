import { describe, expect, test } from 'vitest';
import type { Clock } from '../src/clock.ts';
import { LogThrottle, SEVERITIES, createLog } from '../src/logger.ts';
import type { LoggerOptions } from '../src/logger.ts';

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
    write: (line) => {
      written.push(line);
    },
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

describe('SYSLOG_LEVEL', () => {
  test.each(SEVERITIES.map((name, level) => [level, name] as const))(
    '%i lets %s and everything more severe through',
    (level) => {
      const { log, parsed } = recorder({ level });
      for (const severity of SEVERITIES) log(severity, 'disk.fault', severity);
      const passed = parsed().map(({ severity, level: number }) => [severity, number]);
      expect(passed).toEqual(SEVERITIES.slice(0, level + 1).map((each, index) => [each, index]));
    },
  );
});

describe('the form for people', () => {
  test('is one line with time, level, severity, event, text and fields', () => {
    const { log, written } = recorder({ format: 'pretty' });
    log('err', 'disk.fault', 'the disk is full', { place: '/spool', code: 'ENOSPC', retry: 5 });
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(
      /^\d{4}-\S+Z 3 err +disk\.fault +the disk is full place=\/spool code=ENOSPC retry=5\n$/,
    );
  });

  test('stays one line whatever is in it', () => {
    const { log, written } = recorder({ format: 'pretty' });
    log('notice', 'message.learned', 'a\nb', { file: 'c\r\nd\x1b[31m' });
    expect(written.join('')).toMatch(/^[^\n\r\x1b]*\n$/); // eslint-disable-line no-control-regex
  });
});

describe('the throttle', () => {
  function throttle(): { throttle: LogThrottle; pass: (ms: number) => void } {
    let now = 0;
    const clock: Clock = {
      monotonic: () => now,
      wall: () => now,
      after: () => ({ cancel: () => undefined }),
    };
    return {
      throttle: new LogThrottle(clock),
      pass: (ms) => {
        now += ms;
      },
    };
  }

  test('lets a line through once a minute while its state stays the same', () => {
    const { throttle: lines, pass } = throttle();
    expect(lines.allows('a', 'down')).toBe(true);
    expect(lines.allows('a', 'down')).toBe(false);
    pass(59_999);
    expect(lines.allows('a', 'down')).toBe(false);
    pass(1);
    expect(lines.allows('a', 'down')).toBe(true);
    expect(lines.allows('a', 'down')).toBe(false);
  });

  test('lets a changed state through at once', () => {
    const { throttle: lines } = throttle();
    expect(lines.allows('a', 'down')).toBe(true);
    expect(lines.allows('a', 'misconfigured')).toBe(true);
    expect(lines.allows('a', 'misconfigured')).toBe(false);
  });

  test('tells names apart', () => {
    const { throttle: lines } = throttle();
    expect(lines.allows('a')).toBe(true);
    expect(lines.allows('b')).toBe(true);
    expect(lines.allows('a')).toBe(false);
  });

  test('forgets what is over', () => {
    const { throttle: lines } = throttle();
    lines.allows('a', 'down');
    lines.forget('a');
    expect(lines.allows('a', 'down')).toBe(true);
  });

  test('remembers the thousand names that were last let through', () => {
    const { throttle: lines } = throttle();
    for (let i = 0; i <= 1_000; i += 1) lines.allows(`name ${i}`);
    expect(lines.allows('name 1000')).toBe(false);
    expect(lines.allows('name 1')).toBe(false);
    expect(lines.allows('name 0')).toBe(true);
  });
});
