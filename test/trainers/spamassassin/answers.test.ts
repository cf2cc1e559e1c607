import { describe, expect, test } from 'vitest';
import { NOT_ALLOWED, blameless, classify } from '../../../src/trainers/spamassassin/answers.ts';
import { judgeCanary } from '../../../src/trainers/spamassassin/canary.ts';
import { LockWatch, isSlow } from '../../../src/trainers/spamassassin/lock-watch.ts';

const UNAVAILABLE = { kind: 'unavailable', contact: 'answered' };
const DEFERRED = { kind: 'deferred', answered: true };
const cure = (text: string): unknown => expect.stringContaining(text);

describe('an answer means', () => {
  // The words are those of spamd 4.0.1.
  test.each([
    [
      69,
      'Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.',
      { kind: 'misconfigured', hint: cure('--allow-tell') },
    ],
    [69, 'Service Unavailable: Error fetching user preferences via SQL', UNAVAILABLE],
    [76, 'Bad header line: (Content-Length mismatch: Expected 579 bytes, got 590 bytes)', DEFERRED],
    [
      76,
      'Bad header line: (User header contains control chars)',
      { kind: 'misconfigured', hint: cure('SPAMD_USER') },
    ],
    [76, 'Bad header line: (TELL SPAMC/1.5)', { kind: 'misconfigured', hint: cure('SPAMD_URL') }],
    [79, 'Timeout: (30 second socket timeout reading input from client)', DEFERRED],
    [79, 'Timeout: (300 second timeout while trying to TELL)', DEFERRED],
    [75, 'EX_TEMPFAIL', DEFERRED],
    [70, '', { ...DEFERRED, reason: '70' }],
  ] as const)('%i %s', (code, text, outcome) => {
    expect(classify({ kind: 'answer', code, text, did: false })).toMatchObject(outcome);
  });
});

describe('a connection that came to nothing means', () => {
  test.each([
    ['ECONNREFUSED', { kind: 'unavailable', contact: 'refused' }],
    ['ENOENT', { kind: 'unavailable', contact: 'refused' }],
    ['ENOTFOUND', { kind: 'unavailable', contact: 'none' }],
    ['EHOSTUNREACH', { kind: 'unavailable', contact: 'none' }],
    ['EMFILE', { kind: 'unavailable', contact: 'none' }],
    ['EACCES', { kind: 'misconfigured', hint: cure('--socketmode') }],
    ['NOT_SPAMD', { kind: 'misconfigured', hint: cure('783') }],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', { kind: 'misconfigured', hint: cure('SPAMD_CA_FILE') }],
    ['CERT_HAS_EXPIRED', { kind: 'misconfigured', hint: cure('renew') }],
    ['ERR_TLS_CERT_ALTNAME_INVALID', { kind: 'misconfigured', hint: cure('name') }],
    ['ERR_SSL_WRONG_VERSION_NUMBER', { kind: 'misconfigured', hint: cure('spamd:') }],
    ['ETIMEDOUT', { kind: 'deferred', answered: false }],
    ['CLOSED', { kind: 'deferred', answered: false }],
    ['INCOMPLETE', { kind: 'deferred', answered: false }],
    ['EODD', { kind: 'deferred', reason: 'no answer (EODD)', answered: false }],
    ['ABORTED', { kind: 'aborted' }],
  ] as const)('%s', (code, outcome) => {
    expect(classify({ kind: 'fault', code, text: '' })).toMatchObject(outcome);
  });

  test('and of another service its first line is told', () => {
    const text = '220 mx ESMTP\r\n250 more\r\n';
    const reason = 'another service answers there (220 mx ESMTP)';
    expect(classify({ kind: 'fault', code: 'NOT_SPAMD', text })).toMatchObject({ reason });
  });

  test('and before a message was sent it is no message’s', () => {
    const fault = { kind: 'deferred', reason: 'odd' } as const;
    const contacts = [true, false].map((answered) => blameless({ ...fault, answered }));
    expect(contacts).toEqual([
      { kind: 'unavailable', reason: 'odd', contact: 'answered' },
      { kind: 'unavailable', reason: 'odd', contact: 'none' },
    ]);
    expect(blameless(NOT_ALLOWED)).toBe(NOT_ALLOWED);
  });
});

test.each([
  ['1010', 'works'],
  ['0000', 'deaf'],
  ['1100', 'forgetful'],
  ['1111', 'forgetful'],
  ['0010', 'left over'],
  ['0011', 'unclear'],
  ['1000', 'unclear'],
  ['1011', 'unclear'],
] as const)('a canary that says %s shows that Bayes %s', (said, finding) => {
  expect(judgeCanary(Array.from(said, (each) => each === '1'))).toBe(finding);
});

describe('a lock', () => {
  test('is what takes five seconds, and a while more for a large message', () => {
    expect([isSlow(4_999, 0), isSlow(5_000, 0)]).toEqual([false, true]);
    // Never more than the 8.4 s that spamd waits at least, with the 10 MB that are allowed.
    expect([isSlow(8_999, 1e7), isSlow(9_400, 1e7)]).toEqual([false, true]);
  });

  test('is held for too long from eleven minutes on', () => {
    const watch = new LockWatch();
    const held = [0, 300_000, 659_999, 660_000].map((now) => watch.held(now));
    expect(held).toEqual([false, false, false, true]);
    watch.free();
    expect(watch.held(700_000)).toBe(false);
  });
});
