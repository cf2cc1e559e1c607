import { beforeEach, describe, expect, test } from 'vitest';
import { newDelivery } from '../../src/learning/delivery.ts';
import type { Delivery, Finish } from '../../src/learning/delivery.ts';
import { identify } from '../../src/learning/identity.ts';
import { MessageLog } from '../../src/learning/message-log.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';

let clock: ManualClock;
let recorder: LogRecorder;
let messages: MessageLog;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  messages = new MessageLog(recorder.log, clock);
});

function delivery(key = 'a.eml'): Delivery {
  const stamp = { dev: 0n, ino: 0n, size: 1n, mtimeNs: 0n };
  const made = newDelivery({ verdict: 'spam', key, stamp }, 0, []);
  made.identity = identify(
    key,
    Buffer.from('Message-ID: <one@example.org>\nSubject: secret\n\nsecret'),
  );
  made.tries = 3;
  return made;
}

const FINISHES: [event: string, severity: string, finish: Finish, more: object][] = [
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
  test.each(FINISHES)('is one line: %s', (event, severity, finish, more) => {
    messages.finished(delivery(), finish, 12.6);
    expect(recorder.lines).toMatchObject([{ event, severity }]);
    expect(recorder.lines[0]?.fields).toEqual({
      verdict: 'spam',
      file: 'a.eml',
      messageId: 'one@example.org',
      attempt: 3,
      durationMs: 13,
      ...more,
    });
    expect(messages.tally[finish.kind]).toBe(1);
  });

  test('as a withdrawn or superseded verdict is one line', () => {
    messages.withdrawn(delivery(), 12.6);
    messages.superseded('ham', 'b.eml', undefined);
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
    expect(messages.tally).toMatchObject({ withdrawn: 1, superseded: 1 });
  });

  test('is counted once, as what it was, and nothing else is', () => {
    for (const [, , finish] of FINISHES) messages.finished(delivery(), finish, 1);
    messages.deferred(delivery(), 'later', 1_000, 1);
    expect(messages.tally).toEqual({
      learned: 2,
      duplicate: 1,
      refused: 1,
      quarantined: 1,
      superseded: 0,
      withdrawn: 0,
    });
  });

  test('is counted by verdict, too', () => {
    messages.finished(delivery(), { kind: 'learned', proven: true }, 1);
    messages.withdrawn(delivery(), 12.6);
    messages.superseded('ham', 'b.eml', undefined);
    expect(messages.tallyOf.spam).toMatchObject({ learned: 1, withdrawn: 1, superseded: 0 });
    expect(messages.tallyOf.ham).toMatchObject({ learned: 0, withdrawn: 0, superseded: 1 });
  });

  test('tells how long a proven message took, and no other', () => {
    const heard: unknown[] = [];
    const listened = new MessageLog(recorder.log, clock, (...what) => heard.push(what));
    for (const [, , finish] of FINISHES) listened.finished(delivery(), finish, 12.5);
    expect(heard).toEqual([['spam', 12.5]]);
  });

  test('never shows what the message says', () => {
    for (const [, , finish] of FINISHES) messages.finished(delivery(), finish, 1);
    messages.deferred(delivery(), 'later', 1_000, 1);
    messages.withdrawn(delivery(), 12.6);
    expect(JSON.stringify(recorder.lines)).not.toContain('secret');
  });
});

describe('a message that is tried again', () => {
  test('is said with the reason, its charges and the wait', () => {
    const made = delivery();
    made.charges = 2;
    messages.deferred(made, '500 what?', 4_321, 10);
    expect(recorder.of('message.deferred')).toMatchObject([
      { severity: 'warning', fields: { reason: '500 what?', charges: 2, retrySeconds: 4.3 } },
    ]);
  });

  test('for the same reason is said once a minute, for another at once', () => {
    for (let seconds = 0; seconds < 60; seconds += 1) {
      messages.deferred(delivery(), 'one', 1_000, 1);
      clock.advance(1_000);
    }
    expect(recorder.of('message.deferred')).toHaveLength(1);
    messages.deferred(delivery(), 'one', 1_000, 1);
    messages.deferred(delivery(), 'other', 1_000, 1);
    messages.deferred(delivery('b.eml'), 'one', 1_000, 1);
    expect(recorder.of('message.deferred')).toHaveLength(4);
  });
});
