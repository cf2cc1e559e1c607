import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Daemon } from '../lab/daemon.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { makeCertificate } from './certificate.ts';
import { FaultServer } from './fault-server.ts';
import type { Act, FaultRequest, FaultServerOptions, Play } from './fault-server.ts';
import {
  CLOSES,
  GARBAGE,
  SILENCE,
  SUCCESS,
  always,
  answer,
  cut,
  failure,
  flood,
  mentions,
  plays,
  raw,
} from './plays.ts';
import { DaemonSpool } from '../support/daemon-spool.ts';

/**
 * Nothing that the daemon prints holds the password or a part of the mail, whichever way it fails:
 * each test reads every byte that a real daemon writes at the most talkative level.
 */

const PASSWORD = 'pässwort-kRz8vQ2w';
const SUBJECT = 'subject-marker-Xw4TzQpL9d';
const BODY = 'body-marker-Hj6VbNmK2s';
const RECIPIENT = 'recipient-marker@office.example';

/** Everything about it is hostile: its name, its Message-ID, and what is in it. */
const MESSAGE: MadeMessage = {
  verdict: 'spam',
  name: '\x1b[31mred\x07\u202e\n\xff name.eml',
  messageId: `"quoted\x1b[1m${'long'.repeat(900)}`,
  subject: SUBJECT,
  raw: Buffer.from(
    [
      `Subject: ${SUBJECT} and so on`,
      `To: ${RECIPIENT}`,
      `Message-ID: <"quoted\x1b[1m${'long'.repeat(900)}>`,
      '',
      `A body with ${BODY} in it, and natural language around it.`,
      '',
    ].join('\r\n'),
  ),
};

/** The password and the mail as a server would have to repeat them: in one line, the body first. */
function echo({ headers, body }: FaultRequest): string {
  const mail = body.toString('latin1');
  const text = `${mail.slice(mail.indexOf('\r\n\r\n'))} ${mail}`;
  return `${headers['password'] ?? ''} ${text.replaceAll(/[\r\n]+/g, ' ')}`;
}

/** An answer that repeats what it was sent wherever it can. */
function echoes(status: number, words = ''): Play {
  return (request) => {
    const text = echo(request);
    const headers = [`Location: http://127.0.0.1:9/${encodeURI(text)}`, `X-Echo: ${text}`];
    return answer(`${status} ${words}${text}`, `{"error":"${words}${text}"}`, { headers });
  };
}

function startsWith(words: string): Play {
  return (request) => raw(`${words}${echo(request)}\r\n\r\n${echo(request)}`);
}

const BYTES = Buffer.from(PASSWORD).toString('latin1');
const SECRETS = [BYTES, PASSWORD.slice(-10), PASSWORD.slice(0, 10), SUBJECT, BODY, RECIPIENT];
// eslint-disable-next-line no-control-regex -- but for the line ends there must be none
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** Sees to it that nothing printed gives anything away. */
function expectNoLeak(daemon: Daemon): void {
  const { output } = daemon;
  for (const secret of SECRETS) expect(output).not.toContain(secret);
  for (const line of output.split('\n')) expect(Buffer.byteLength(line)).toBeLessThan(4096);
  expect(output).not.toMatch(CONTROL);
  for (const { fields } of daemon.lines) {
    for (const value of Object.values(fields)) expect(String(value)).not.toMatch(CONTROL);
  }
  expect(daemon.stderr).toBe('');
}

type Failure = readonly [name: string, play: Act | Play, reason: RegExp];

/**
 * Failures after which the message stays: one daemon goes through all of a group. Each is logged
 * with its own reason, because the one before it had another.
 */
const GROUPS: Readonly<Record<string, readonly Failure[]>> = {
  'answers that repeat what was sent': [
    ['500', echoes(500), /^500 /],
    ["500 with Redis' words", echoes(500, 'OOM '), /^500 OOM/],
    ['503', echoes(503, 'Sorry: '), /^503 Sorry/],
    ['302', echoes(302), /^302/],
    ['401', echoes(401), /^401/],
    ['404', echoes(404), /^404/],
    ['a broken status', startsWith('HTTP/1.1 7 '), /^7 /],
    ['an interim status', startsWith('HTTP/1.1 110 '), /^110 /],
    ['no HTTP', startsWith(''), /^no answer/],
    ['64 KB', (request) => failure(501, echo(request).repeat(16)), /^501 /],
    ['400 KB', (request) => failure(502, echo(request).repeat(100)), /^502 /],
  ],
  'answers that are odd, cut, slow, endless or missing': [
    ['odd', answer(`500 \x1b[31mred\x9b\x07 ${'and so on '.repeat(3_000)}`), /^500 \?\[31mred/],
    ['silence', SILENCE, /ETIMEDOUT/],
    ['a close', CLOSES, /ECONNRESET/],
    ['garbage', GARBAGE, /NO_HTTP/],
    ['half an answer', cut(failure(503, 'half'), '{"err'), /^503 half/],
    ['an endless body', flood('500 Endless', 600), /^500 Endless/],
  ],
};

/** What ends a message, or puts it off. */
const ENDS: readonly (readonly [name: string, play: Act | Play, event: string])[] = [
  ['success', plays(), 'message.learned'],
  ['an echo in 204', echoes(204), 'message.refused'],
  ['an echo in 208', echoes(208), 'message.duplicate'],
  ['an echo in 413', echoes(413), 'message.quarantined'],
  ['200 for ever', SUCCESS, 'message.deferred'],
];

const SETTINGS = { RSPAMD_PASSWORD: PASSWORD, RSPAMD_TIMEOUT_SECONDS: '0.5', SYSLOG_LEVEL: '7' };

function playOf(play: Act | Play): Play {
  return typeof play === 'function' ? play : always(play);
}

/** Mail and password were sent, and so could be given away. */
function expectAllSent({ posts }: FaultServer): void {
  const [post] = posts;
  expect(Buffer.from(post?.headers['password'] ?? '', 'latin1').toString()).toBe(PASSWORD);
  expect(post?.body.equals(MESSAGE.raw)).toBe(true);
}

describe('neither password nor mail is printed after', () => {
  test.each(Object.entries(GROUPS))('%s', async (_, failures) => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url });
    await daemon.says('daemon.owner');
    let isFirst = true;
    for (const [name, play, reason] of failures) {
      const linesBefore = daemon.lines.length;
      server.forget();
      server.play = playOf(play);
      if (isFirst) await spool.judgeAll(MESSAGE);
      isFirst = false;
      // On a busy machine a post may end by its short timeout first.
      await daemon.hurry(`complain: ${name}`, () =>
        daemon.lines.slice(linesBefore).some(({ fields }) => reason.test(String(fields['reason']))),
      );
      expectAllSent(server);
      expectNoLeak(daemon);
    }
    expect(await daemon.stop()).toBe(0);
    expectNoLeak(daemon);
    expect(spool.waiting).toHaveLength(1);
  });

  test('what ends a message, or puts it off', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url });
    for (const [name, play, event] of ENDS) {
      server.forget();
      server.play = playOf(play);
      // Each is another message, after the last one.
      await spool.judgeAll({ ...MESSAGE, name: `${name} ${MESSAGE.name}` });
      await daemon.says(event);
      expectAllSent(server);
    }
    expect(await daemon.stop()).toBe(0);
    expectNoLeak(daemon);
    const quarantine = join(spool.lib, '.learnd/quarantine/spam');
    const reasons = readdirSync(quarantine).filter((name) => name.endsWith('.json'));
    expect(reasons).toHaveLength(1);
    const reason = readFileSync(join(quarantine, reasons[0] ?? ''), 'utf8');
    for (const secret of SECRETS) expect(reason).not.toContain(secret);
  });

  test.each<[string, FaultServerOptions, string]>([
    [
      'an answer before the body was read',
      { early: () => failure(413, 'Undefined Error'), play: always(SUCCESS) },
      'message.quarantined',
    ],
    [
      'a certificate that is not trusted',
      { play: plays(), tls: makeCertificate() },
      'controller.misconfigured',
    ],
  ])('%s', async (_, options, event) => {
    await using server = await FaultServer.start(options);
    await using spool = new DaemonSpool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url });
    await spool.judgeAll(MESSAGE);
    await daemon.says(event);
    expect(await daemon.stop()).toBe(0);
    expectNoLeak(daemon);
  });

  test('messages that crash the worker and end in quarantine', async () => {
    const play = plays({ when: mentions(BODY), act: CLOSES });
    await using server = await FaultServer.start({ play });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url, LEARN_MAX_ATTEMPTS: '1' });
    await spool.judgeAll(MESSAGE);
    // Whose fault it is shows when others are learned in between.
    for (let count = 1; daemon.logged('message.quarantined').length === 0; count += 1) {
      const raw = Buffer.from(`Subject: x\r\n\r\n${count}`);
      await spool.judgeAll({ ...MESSAGE, name: `innocent-${count}.eml`, raw });
      await daemon.learns(count);
      daemon.signal('SIGHUP');
    }
    await daemon.stop();
    expectNoLeak(daemon);
  });

  test('a stop with posts in flight', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new DaemonSpool();
    const settings = { ...SETTINGS, RSPAMD_TIMEOUT_SECONDS: '30' };
    const daemon = spool.start({ ...settings, RSPAMD_URL: server.url });
    await spool.judgeAll(MESSAGE);
    await daemon.until('post', () => server.open === 1);
    expect(await daemon.stop()).toBe(0);
    expectNoLeak(daemon);
  });

  test('an echo, in the form for people', async () => {
    await using server = await FaultServer.start({ play: echoes(500, 'odd: ') });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ ...SETTINGS, LOG_FORMAT: 'pretty', RSPAMD_URL: server.url });
    await spool.judgeAll(MESSAGE);
    await daemon.until('complain', () => daemon.output.includes('controller.down'));
    await daemon.stop();
    for (const secret of SECRETS) expect(daemon.output).not.toContain(secret);
    expect(daemon.output).not.toMatch(CONTROL);
  });
});
