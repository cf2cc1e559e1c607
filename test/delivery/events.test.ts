import { beforeEach, describe, expect, test } from 'vitest';
import type { Disposition } from '../../src/delivery/result.ts';
import { PendingMessage, identify } from '../../src/delivery/message.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';

let clock: ManualClock;
let recorder: LogRecorder;
let events: MessageEvents;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  events = new MessageEvents(recorder.log, clock);
});

function message(key = 'a.eml'): PendingMessage {
  const made = new PendingMessage({ verdict: 'spam', key, bytes: 1 }, []);
  made.identity = identify(
    key,
    Buffer.from('Message-ID: <one@example.org>\nSubject: secret\n\nsecret'),
  );
  made.tries = 3;
  return made;
}

const DISPOSITIONS: [event: string, severity: string, disposition: Disposition, more: object][] = [
  ['message.learned', 'notice', { kind: 'learned', proven: true }, { proven: true }],
  [
    'message.learned',
    'notice',
    { kind: 'learned', proven: false, reason: 'no proof' },
    { proven: false, reason: 'no proof' },
  ],
  ['message.duplicate', 'notice', { kind: 'duplicate' }, {}],
  ['message.refused', 'notice', { kind: 'refused', reason: '204 no' }, { reason: '204 no' }],
  ['message.quarantined', 'warning', { kind: 'quarantined', reason: '413' }, { reason: '413' }],
];

describe('a message’s fate', () => {
  test.each(DISPOSITIONS)('is one line: %s', (event, severity, disposition, more) => {
    events.ended(message(), disposition, 12.6);
    expect(recorder.lines).toMatchObject([{ event, severity }]);
    expect(recorder.lines[0]?.fields).toEqual({
      verdict: 'spam',
      file: 'a.eml',
      messageId: 'one@example.org',
      attempt: 3,
      durationMs: 13,
      ...more,
    });
    expect(events.counts[disposition.kind]).toBe(1);
  });

  test('as a withdrawn or superseded verdict is one line', () => {
    events.ended(message(), { kind: 'withdrawn' }, 12.6);
    events.superseded('ham', 'b.eml');
    expect(recorder.lines).toMatchObject([
      {
        event: 'message.withdrawn',
        fields: { file: 'a.eml', verdict: 'spam', attempt: 3, durationMs: 13 },
      },
      {
        event: 'message.superseded',
        fields: { file: 'b.eml', verdict: 'ham', attempt: 0, durationMs: 0 },
      },
    ]);
    expect(events.counts).toMatchObject({ withdrawn: 1, superseded: 1 });
  });

  test('is counted once, as what it was, and nothing else is', () => {
    for (const [, , disposition] of DISPOSITIONS) events.ended(message(), disposition, 1);
    events.deferred(message(), { reason: 'later', retryMs: 1_000 }, 1);
    expect(events.counts).toEqual({
      learned: 2,
      duplicate: 1,
      refused: 1,
      quarantined: 1,
      superseded: 0,
      withdrawn: 0,
    });
  });

  test('is counted by verdict, too', () => {
    events.ended(message(), { kind: 'learned', proven: true }, 1);
    events.ended(message(), { kind: 'withdrawn' }, 12.6);
    events.superseded('ham', 'b.eml');
    expect(events.countsOf.spam).toMatchObject({ learned: 1, withdrawn: 1, superseded: 0 });
    expect(events.countsOf.ham).toMatchObject({ learned: 0, withdrawn: 0, superseded: 1 });
  });

  test('tells how long a proven message took, and no other', () => {
    const heard: unknown[] = [];
    const listened = new MessageEvents(recorder.log, clock, (...what) => heard.push(what));
    for (const [, , disposition] of DISPOSITIONS) listened.ended(message(), disposition, 12.5);
    expect(heard).toEqual([['spam', 12.5]]);
  });

  test('never shows what the message says', () => {
    for (const [, , disposition] of DISPOSITIONS) events.ended(message(), disposition, 1);
    events.deferred(message(), { reason: 'later', retryMs: 1_000 }, 1);
    events.ended(message(), { kind: 'withdrawn' }, 12.6);
    expect(JSON.stringify(recorder.lines)).not.toContain('secret');
  });
});

describe('a message that is tried again', () => {
  test('is said with the reason, its charges and the wait', () => {
    const made = message();
    made.failures.charges = 2;
    events.deferred(made, { reason: '500 what?', retryMs: 4_321 }, 10);
    expect(recorder.of('message.deferred')).toMatchObject([
      { severity: 'warning', fields: { reason: '500 what?', charges: 2, retrySeconds: 4.3 } },
    ]);
  });

  test('for the same reason is said once a minute, for another at once', () => {
    for (let seconds = 0; seconds < 60; seconds += 1) {
      events.deferred(message(), { reason: 'one', retryMs: 1_000 }, 1);
      clock.advance(1_000);
    }
    expect(recorder.of('message.deferred')).toHaveLength(1);
    events.deferred(message(), { reason: 'one', retryMs: 1_000 }, 1);
    events.deferred(message(), { reason: 'other', retryMs: 1_000 }, 1);
    events.deferred(message('b.eml'), { reason: 'one', retryMs: 1_000 }, 1);
    expect(recorder.of('message.deferred')).toHaveLength(4);
  });
});
