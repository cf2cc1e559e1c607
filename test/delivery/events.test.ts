import { beforeEach, describe, expect, test } from 'vitest';
import type { Disposition } from '../../src/delivery/result.ts';
import { PendingMessage, identify } from '../../src/delivery/message.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { VERDICTS } from '../../src/verdict.ts';

let clock: ManualClock;
let recorder: LogRecorder;
let events: MessageEvents;
let heard: unknown[];

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  heard = [];
  events = new MessageEvents({
    log: recorder.log,
    clock,
    filter: 'rspamd',
    verdicts: VERDICTS,
    onEnded: (ended) => heard.push(ended),
  });
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

const NO_PROOF: Disposition = { kind: 'learned', proven: false, reason: 'no proof' };
const DISPOSITIONS: [severity: string, disposition: Disposition, more: object][] = [
  ['notice', { kind: 'learned', proven: true }, { proven: true }],
  ['notice', NO_PROOF, { proven: false, reason: 'no proof' }],
  ['notice', { kind: 'duplicate' }, {}],
  ['notice', { kind: 'refused', reason: '204 no' }, { reason: '204 no' }],
  ['warning', { kind: 'quarantined', reason: '413' }, { reason: '413' }],
];

describe('a message’s fate', () => {
  test.each(DISPOSITIONS)('is one line: %s %j', (severity, disposition, more) => {
    events.ended(message(), disposition, 12.6);
    const { kind } = disposition;
    expect(recorder.lines).toMatchObject([{ event: `message.${kind}`, severity }]);
    // Who reads that one has to know where it is now.
    const isQuarantined = kind === 'quarantined';
    expect(/quarantine list/.test(recorder.lines[0]?.message ?? '')).toBe(isQuarantined);
    expect(recorder.lines[0]?.fields).toEqual({
      verdict: 'spam',
      file: 'a.eml',
      messageId: 'one@example.org',
      attempt: 3,
      durationMs: 13,
      ...more,
    });
  });

  test('as a withdrawn or superseded verdict is one line', () => {
    events.ended(message(), { kind: 'withdrawn' }, 12.6);
    events.superseded('ham', 'b.eml');
    const withdrawn = { file: 'a.eml', verdict: 'spam', attempt: 3, durationMs: 13 };
    const superseded = { file: 'b.eml', verdict: 'ham', attempt: 0, durationMs: 0 };
    expect(recorder.lines).toMatchObject([
      { event: 'message.withdrawn', fields: withdrawn },
      { event: 'message.superseded', fields: superseded },
    ]);
  });

  test('is counted once, by verdict, and timed where it is proven; nothing shows its text', () => {
    for (const [, disposition] of DISPOSITIONS) events.ended(message(), disposition, 12.5);
    events.ended(message(), { kind: 'withdrawn' }, 1);
    events.superseded('ham', 'b.eml');
    events.deferred(message(), { reason: 'later', retryMs: 1_000 }, 1);
    const spam = { learned: 2, duplicate: 1, refused: 1, quarantined: 1, withdrawn: 1 };
    expect(events.counts).toEqual({ ...spam, superseded: 1 });
    expect(events.countsOf.spam).toEqual({ ...spam, superseded: 0 });
    expect(events.countsOf.ham).toMatchObject({ learned: 0, superseded: 1 });
    expect(heard).toEqual([
      ...DISPOSITIONS.map(([, { kind: result }], index) => {
        const provenMs = index === 0 ? 12.5 : undefined;
        return { verdict: 'spam', key: 'a.eml', result, provenMs };
      }),
      { verdict: 'spam', key: 'a.eml', result: 'withdrawn' },
      { verdict: 'ham', key: 'b.eml', result: 'superseded' },
    ]);
    expect(JSON.stringify(recorder.lines)).not.toContain('secret');
  });
});

test('a message that is tried again is said once a minute for the same reason', () => {
  const made = message();
  made.failures.charges = 2;
  const why = { reason: '500 what?', retryMs: 4_321 };
  events.deferred(made, why, 10);
  events.deferred(made, why, 10);
  expect(recorder.of('message.deferred')).toMatchObject([
    { severity: 'warning', fields: { reason: '500 what?', charges: 2, retrySeconds: 4.3 } },
  ]);
  clock.advance(60_000);
  events.deferred(made, why, 10);
  events.deferred(made, { ...why, reason: 'another' }, 10);
  events.deferred(message('b.eml'), why, 10);
  expect(recorder.of('message.deferred')).toHaveLength(4);
});
