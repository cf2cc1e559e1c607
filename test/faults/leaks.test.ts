import { describe, expect, test } from 'vitest';
import type { MadeMessage } from '../../src/lab/messages.ts';
import { freePort } from '../../src/lab/ports.ts';
import { makeCertificate } from './certificate.ts';
import { Spool } from './child-daemon.ts';
import type { ChildDaemon } from './child-daemon.ts';
import { FaultServer } from './fault-server.ts';
import type { Act, FaultRequest, FaultServerOptions, Play } from './fault-server.ts';
import {
  CLOSES,
  GARBAGE,
  NOT_FOUND,
  RESETS,
  SILENCE,
  SUCCESS,
  UNAUTHORIZED,
  always,
  answer,
  cut,
  drip,
  failure,
  flood,
  learns,
  plays,
  raw,
} from './plays.ts';

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

/** Sees to it that nothing printed and nothing kept beside the mail gives anything away. */
function expectNoLeak(daemon: ChildDaemon): void {
  const { output } = daemon;
  const password = [PASSWORD, Buffer.from(PASSWORD).toString('latin1')];
  const secrets = [...password, PASSWORD.slice(-10), PASSWORD.slice(0, 10)];
  for (const secret of [...secrets, SUBJECT, BODY, RECIPIENT]) expect(output).not.toContain(secret);
  for (const line of output.split('\n')) expect(Buffer.byteLength(line)).toBeLessThan(4096);
  // eslint-disable-next-line no-control-regex -- but for the line ends there must be none
  const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
  expect(output).not.toMatch(control);
  for (const { fields } of daemon.lines) {
    for (const value of Object.values(fields)) expect(String(value)).not.toMatch(control);
  }
  expect(daemon.stderr).toBe('');
}

interface Case {
  readonly name: string;
  readonly play: Act | Play;
  /** The event that shows that the failure was dealt with. */
  readonly event: string;
  readonly options?: Partial<FaultServerOptions>;
}

const cases: readonly Case[] = [
  { name: 'success', play: plays(), event: 'message.learned' },
  { name: '200 for ever', play: SUCCESS, event: 'message.deferred' },
  { name: 'an echo in 500', play: echoes(500), event: 'controller.down' },
  { name: 'an echo behind words', play: echoes(500, 'OOM '), event: 'controller.down' },
  { name: 'an echo in 503', play: echoes(503, 'Sorry: '), event: 'controller.down' },
  { name: 'an echo in 204', play: echoes(204), event: 'message.refused' },
  { name: 'an echo in 208', play: echoes(208), event: 'message.duplicate' },
  { name: 'an echo in 302', play: echoes(302), event: 'controller.misconfigured' },
  { name: 'an echo in 400', play: echoes(400), event: 'controller.down' },
  { name: 'an echo in 401', play: echoes(401), event: 'controller.misconfigured' },
  { name: 'an echo in 404', play: echoes(404), event: 'controller.misconfigured' },
  { name: 'an echo in 413', play: echoes(413), event: 'message.quarantined' },
  { name: 'an echo in 429', play: echoes(429), event: 'controller.misconfigured' },
  {
    name: 'an echo in a broken status',
    play: startsWith('HTTP/1.1 7 '),
    event: 'controller.down',
  },
  {
    name: 'an echo in an interim one',
    play: startsWith('HTTP/1.1 110 '),
    event: 'controller.down',
  },
  { name: 'an echo instead of HTTP', play: startsWith(''), event: 'controller.down' },
  {
    name: 'an echo of 64 KB',
    play: (request) => failure(500, echo(request).repeat(16)),
    event: 'controller.down',
  },
  {
    name: 'an echo of 400 KB',
    play: (request) => failure(500, echo(request).repeat(100)),
    event: 'controller.down',
  },
  {
    name: 'a reason that is long and odd',
    play: answer(`500 \x1b[31mred\x9b\x07 ${'and so on '.repeat(3_000)}`),
    event: 'controller.down',
  },
  { name: 'silence', play: SILENCE, event: 'controller.down' },
  { name: 'a close', play: CLOSES, event: 'controller.down' },
  { name: 'a reset', play: RESETS, event: 'controller.down' },
  { name: 'garbage', play: GARBAGE, event: 'controller.down' },
  { name: 'half an answer', play: cut(failure(500, 'odd'), 'Content-L'), event: 'controller.down' },
  { name: 'a drip', play: drip(failure(500, 'odd'), 20), event: 'controller.down' },
  { name: 'an endless body', play: flood('500 Endless', 600), event: 'controller.down' },
  { name: 'a wrong password', play: UNAUTHORIZED, event: 'controller.misconfigured' },
  { name: 'a wrong path', play: NOT_FOUND, event: 'controller.misconfigured' },
  {
    name: 'a wrong port',
    play: failure(500, 'invalid command'),
    event: 'controller.misconfigured',
  },
  {
    name: 'an answer before the body',
    play: SUCCESS,
    event: 'message.quarantined',
    options: { early: () => failure(413, 'Undefined Error') },
  },
];

const SETTINGS = { RSPAMD_PASSWORD: PASSWORD, RSPAMD_TIMEOUT_SECONDS: '0.5', SYSLOG_LEVEL: '7' };

describe.concurrent('neither password nor mail is printed after', () => {
  test.each(cases)('$name', async ({ play, event, options }) => {
    await using server = await FaultServer.start({
      play: typeof play === 'function' ? play : always(play),
      ...options,
    });
    await using spool = new Spool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url });
    await spool.write(MESSAGE);
    await daemon.says(event);
    expect(await daemon.stop()).toBe(0);
    // it was there to be given away
    const [post] = server.posts;
    expect(Buffer.from(post?.headers['password'] ?? '', 'latin1').toString()).toBe(PASSWORD);
    if (options?.early === undefined) expect(post?.body.equals(MESSAGE.raw)).toBe(true);
    expectNoLeak(daemon);
    if (event === 'message.quarantined') {
      const kept = JSON.stringify(spool.reasons);
      for (const secret of [PASSWORD, SUBJECT, BODY, RECIPIENT]) expect(kept).not.toContain(secret);
      expect(kept).toContain('413');
    }
  });

  test('a refused connection', async () => {
    await using spool = new Spool();
    const url = `http://127.0.0.1:${await freePort()}`;
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: url });
    await spool.write(MESSAGE);
    await daemon.says('controller.down');
    await daemon.stop();
    expectNoLeak(daemon);
  });

  test('a certificate that is not trusted', async () => {
    await using server = await FaultServer.start({ play: plays(), tls: makeCertificate() });
    await using spool = new Spool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url });
    await spool.write(MESSAGE);
    await daemon.says('controller.misconfigured');
    await daemon.stop();
    expectNoLeak(daemon);
  });

  test('messages that crash the worker and end in quarantine', async () => {
    await using server = await FaultServer.start({
      play: plays({
        when: (request) => learns(request) && request.body.includes(BODY),
        act: CLOSES,
      }),
    });
    await using spool = new Spool();
    const daemon = spool.start({ ...SETTINGS, RSPAMD_URL: server.url, LEARN_MAX_ATTEMPTS: '1' });
    const innocent = { ...MESSAGE, name: 'innocent.eml', raw: Buffer.from('Subject: x\r\n\r\ny') };
    await spool.write(innocent);
    await daemon.says('message.learned');
    await spool.write(MESSAGE);
    await daemon.says('message.quarantined');
    await daemon.stop();
    expectNoLeak(daemon);
  });

  test('a stop with posts in flight', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new Spool();
    const daemon = spool.start({
      ...SETTINGS,
      RSPAMD_URL: server.url,
      RSPAMD_TIMEOUT_SECONDS: '30',
    });
    await spool.write(MESSAGE);
    await daemon.until('post', () => server.open === 1);
    expect(await daemon.stop()).toBe(0);
    expectNoLeak(daemon);
  });

  test('an echo, in the form for people', async () => {
    await using server = await FaultServer.start({ play: echoes(500, 'odd: ') });
    await using spool = new Spool();
    const settings = { ...SETTINGS, LOG_FORMAT: 'pretty' };
    const daemon = spool.start({ ...settings, RSPAMD_URL: server.url });
    await spool.write(MESSAGE);
    await daemon.until('complain', () => daemon.output.includes('controller.down'));
    await daemon.stop();
    for (const secret of [PASSWORD, SUBJECT, BODY, RECIPIENT]) {
      expect(daemon.output).not.toContain(secret);
    }
    // eslint-disable-next-line no-control-regex -- but for the line ends there must be none
    expect(daemon.output).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });
});
