import { describe, expect, test } from 'vitest';
import { Secret } from '../../src/secret.ts';
import { freePort } from '../../src/servers/ports.ts';
import { classifyFault } from '../../src/trainers/connection-faults.ts';
import type { Outcome } from '../../src/trainers/trainer.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act } from '../faults/fault-server.ts';
import {
  CLOSES,
  GARBAGE,
  NOT_FOUND,
  RESETS,
  SILENCE,
  SUCCESS,
  UNAUTHORIZED,
  alreadyLearned,
  answer,
  cut,
  drip,
  failure,
  flood,
  learns,
  plays,
  raw,
  statistics,
} from '../faults/plays.ts';
import { nginxPage, passedOn } from '../faults/proxy-pages.ts';
import { MESSAGE, learn, outcomeOf, trainerAt } from './connect.ts';

/**
 * The table of answers: each row of what rspamd's controller, or a proxy in front of it, was heard to
 * say, as bytes from a raw socket through the real trainer.
 */

type Row = readonly [name: string, act: Act, reason: string | RegExp];
type Cured = readonly [...Row, hint: RegExp];

const ID = 'a0db80451c07d9e8545e3732@mail.example';
const ODD_ID = 'odd\rX-Header: \x00 \x01@mail.example';
/** For the acts that end by the request's timeout only. */
const SHORT = { timeoutMs: 1_000 };

function inBody(text: string, status = '500 Internal Server Error'): Act {
  return answer(status, `{"error":"${text}"}`);
}

function saying(reason: string | RegExp): string {
  return expect.stringMatching(reason) as string;
}

test.each([
  ['200', SUCCESS],
  ['200 with half a body', cut(SUCCESS, '{"succ')],
  ['200 without a body', cut(SUCCESS, '\r\n\r\n')],
  ['200 with an endless body', flood('200 OK', 600)],
])('learned: %s', async (_, act) => expect(await outcomeOf(act)).toEqual({ kind: 'learned' }));

test.each<readonly [string, Act]>([
  ['208', alreadyLearned(ID, 'spam')],
  ['208, cut right behind its headers', cut(alreadyLearned(ID, 'spam'), '\r\n\r\n')],
  ['208 with a Message-ID that breaks the status line', alreadyLearned(ODD_ID, 'spam')],
  ...[17, 64, 250].map((kilobytes): [string, Act] => [
    `208 with a Message-ID of ${kilobytes} KB, which overflows the parser`,
    alreadyLearned('x'.repeat(kilobytes * 1024), 'spam'),
  ]),
])('duplicate: %s', async (_, act) => expect(await outcomeOf(act)).toEqual({ kind: 'duplicate' }));

const FEW = 'contains less tokens than required for bayes classifier: 3 < 11';
test.each<Row>([
  ['204, with the body that Node chokes on', failure(204, `<${ID}> ${FEW}`), `204 <id> ${FEW}`],
  ['204 with an odd Message-ID', failure(204, `<${ODD_ID}> ${FEW}`), /^204/],
  ['204 with a long Message-ID', failure(204, `<${'x'.repeat(17_000)}> ${FEW}`), /^204.{0,160}$/],
  ['204 without a reason', raw('HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n'), '204'],
])('refused: %s', async (_, act, reason) => {
  expect(await outcomeOf(act)).toEqual({ kind: 'refused', reason: saying(reason) });
});

describe('"all learn conditions denied"', () => {
  const denied = failure(204, 'all learn conditions denied learning spam in default classifier');

  test.each<[string, Act, Partial<Outcome>]>([
    ['refused where Bayes has a backend', statistics(300, 300), { kind: 'refused' }],
    [
      'refused where the backend is away for a moment',
      answer('200 OK', '{"statfiles":[{},{}]}'),
      { kind: 'refused' },
    ],
    [
      'misconfigured where there is no backend',
      answer('200 OK', '{"statfiles":[]}'),
      { kind: 'misconfigured', password: false, reason: saying(/has no Bayes backend/) },
    ],
    [
      'unavailable while rspamd is starting',
      answer('200 OK', '{"uptime":1,"statfiles":[]}'),
      { kind: 'unavailable', contact: 'answered', reason: saying(/still starting/) },
    ],
    ...[
      SILENCE,
      cut(statistics(300, 300), 'statfiles'),
      UNAUTHORIZED,
      answer('200 OK', 'pong'),
    ].map((stat): [string, Act, Partial<Outcome>] => [
      'unavailable while /stat tells nothing',
      stat,
      { kind: 'unavailable', contact: 'answered' },
    ]),
  ])('is %s', async (_, stat, expected) => {
    await using server = await FaultServer.start({
      play: plays(
        { when: learns, act: denied },
        { when: ({ path }) => path === '/stat', act: stat },
      ),
    });
    expect(await learn(trainerAt(server.url, SHORT))).toMatchObject(expected);
  });
});

const EMPTY = 'Trying to learn an empty message';
test.each<Row>([
  ['400', failure(400, 'Empty body is not permitted'), '400 Empty body is not permitted'],
  ['413', failure(413, 'Undefined Error'), '413 Undefined Error'],
  ['413 that a proxy passes on', passedOn(failure(413, 'Undefined Error')), /^413/],
  ['500', failure(500, EMPTY), `500 ${EMPTY}`],
  ['500 whose text is in the body only', inBody(EMPTY), /^500/],
])('rejected: %s', async (_, act, reason) => {
  expect(await outcomeOf(act)).toEqual({ kind: 'rejected', reason: saying(reason) });
});

const KNOWN = `<${ID}> has been already learned as spam, ignore it`;
test.each<[...Cured, password: boolean]>([
  ['401', UNAUTHORIZED, /^401/, /RSPAMD_PASSWORD.*secure_ip/, true],
  ['401 that a proxy passes on', passedOn(UNAUTHORIZED), /^401/, /RSPAMD_PASSWORD/, true],
  ['403', failure(403, 'Forbidden'), /^403/, /RSPAMD_PASSWORD/, true],
  ['429', failure(429, 'Too many authentication failures'), /^429/, /RSPAMD_PASSWORD/, true],
  ['404', NOT_FOUND, /^404/, /RSPAMD_URL.*port.*path prefix/, false],
  ['404 already learned', failure(404, KNOWN), /no usable Bayes/, /local\.d/, false],
  ['the same in the body', inBody(KNOWN, '404 Not Found'), /no usable Bayes/, /local\.d/, false],
  ['404 of no classifier', failure(404, 'cannot find classifier bayes'), /^404/, /"bayes"/, false],
  ['404 of none at all', failure(404, 'no classifiers defined'), /^404/, /"bayes"/, false],
  ["500 of the scan worker's port", failure(500, 'invalid command'), /^500/, /11334/, false],
  ['the same in the body', inBody('invalid command'), /^500/, /11334/, false],
  [
    'http: to a TLS port of nginx',
    nginxPage('400 Bad Request', 'The plain HTTP request was sent to HTTPS port'),
    /a proxy .*speaks TLS on this port.*\(400 Bad Request\)/,
    /use https: in RSPAMD_URL/,
    false,
  ],
  [
    "http: to a TLS port of Go's server",
    raw('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n'),
    /speaks TLS/,
    /use https:/,
    false,
  ],
  [
    'a proxy that wants a certificate of ours',
    nginxPage('400 Bad Request', 'No required SSL certificate was sent'),
    /a proxy .*not let this host learn \(400/,
    /ssl_verify_client/,
    false,
  ],
  ['401 of a proxy', nginxPage('401 Unauthorized'), /login of its own \(401/, /can't help/, false],
  [
    '401 of a proxy without a page, as of forward_auth',
    raw('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'),
    /login of its own/,
    /can't help/,
    false,
  ],
  ['403 of a proxy', nginxPage('403 Forbidden'), /a proxy .*\(403/, /allow ADDRESS/, false],
  ['405 of a proxy', nginxPage('405 Not Allowed'), /a proxy .*\(405/, /with POST/, false],
  ...[300, 301, 302, 303, 307, 308].map((status): [...Cured, boolean] => {
    const act = answer(`${status} Elsewhere`, '', { headers: ['Location: http://127.0.0.1:9/'] });
    return [`${status}: a redirect`, act, `${status} Elsewhere`, /not followed/, false];
  }),
])('misconfigured: %s', async (_, act, reason, hint, password) => {
  const expected = { reason: saying(reason), hint: saying(hint), password };
  expect(await outcomeOf(act)).toEqual({ kind: 'misconfigured', ...expected });
});

test.each([
  ['"sesame"', /^leave out the quotes around the password.*if they belong there, set RSPAMD_P/],
  ["'sesame'", /^leave out the quotes/],
  ['"sesame', /^set RSPAMD_PASSWORD/],
  ['"', /^set RSPAMD_PASSWORD/],
])('misconfigured: 401 with the password %s', async (text, hint) => {
  const password = Secret.ofValue(text);
  expect(await outcomeOf(UNAUTHORIZED, { password })).toMatchObject({ hint: saying(hint) });
});

test.each([
  ['nginx', nginxPage('413 Request Entity Too Large')],
  ['one without words', raw('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n')],
])('held: 413 of a proxy, %s', async (_, act) => {
  expect(await outcomeOf(act)).toEqual({
    kind: 'held',
    reason: saying(/lets no message of this size through \(413 /),
    hint: saying(/client_max_body_size/),
  });
});

test.each([
  ['rejected', failure(413, 'Undefined Error')],
  ['held', nginxPage('413 Request Entity Too Large')],
])('%s: 413 before the body was read, which goes on coming', async (kind, act) => {
  await using server = await FaultServer.start({
    early: () => ({ ...act, then: 'stay' }),
    play: () => SUCCESS,
  });
  const body = Buffer.alloc(8 << 20, 'x');
  expect(await learn(trainerAt(server.url), body)).toMatchObject({ kind });
});

const DATE = 'Date: Sun, 29 Nov 2026 07:49:30 GMT';
test.each<[string, Act, number | undefined]>([
  ['429 of limit_req', nginxPage('429 Too Many Requests'), undefined],
  ['503 of limit_req', nginxPage('503 Service Temporarily Unavailable'), undefined],
  ['seconds', nginxPage('429 Too Many Requests', '', ['Retry-After: 2']), 2_000],
  ['more than anybody waits', nginxPage('429 Slow', '', ['Retry-After: 99999999']), 300_000],
  ['a date', nginxPage('429', '', [DATE, 'Retry-After: Sun, 29 Nov 2026 07:49:40 GMT']), 10_000],
  ['nonsense', nginxPage('429 Slow', '', [DATE, 'Retry-After: later']), undefined],
])('unavailable by a limited rate: %s', async (_, act, retryAfterMs) => {
  const limit = { retryAfterMs, hint: saying(/limit_req/) };
  expect(await outcomeOf(act)).toMatchObject({ kind: 'unavailable', contact: 'answered', limit });
});

describe("unavailable by rspamd's Redis:", () => {
  test.each([
    'Connection refused',
    'Connection reset by peer',
    'timeout while connecting the server (1 sec)',
    'error getting reply from redis server 127.0.0.1:6379: Connection refused',
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    'NOREPLICAS Not enough good replicas to write.',
    'MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.',
    'LOADING Redis is loading the dataset in memory',
    'NOAUTH Authentication required.',
    'WRONGPASS invalid username-pair or user is disabled.',
    'CLUSTERDOWN The cluster is down',
    'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
    'NOSCRIPT No matching script. Please use EVAL.',
    "ERR The user executing the script can't run this command or subcommand",
  ])('500 %s', async (text) => {
    const unavailable = { kind: 'unavailable', contact: 'answered' };
    expect(await outcomeOf(failure(500, text))).toEqual({ ...unavailable, reason: `500 ${text}` });
    expect(await outcomeOf(inBody(text))).toMatchObject(unavailable);
  });

  // 3.4 writes the errno of its connection to Redis where the status belongs: ENETUNREACH is 101,
  // ECONNRESET 104, ETIMEDOUT 110, which HTTP takes for interim answers.
  test.each([1, 5, 32, 60, 101, 104, 110, 111])('a status line with errno %i', async (errno) => {
    const text = 'cannot get learned: error getting reply from redis server 127.0.0.1:6379: gone';
    const expected = { kind: 'unavailable', contact: 'answered', reason: `${errno} ${text}` };
    expect(await outcomeOf(failure(errno, text))).toEqual(expected);
    const late = raw(`HTTP/1.1 ${errno} ${text}\r\n\r\n`, 'stay');
    expect(await outcomeOf(late, SHORT)).toEqual(expected);
  });

  test('503 with words of Redis is an outage, not a limited rate', async () => {
    const act = passedOn(failure(503, 'OOM command not allowed: Service Temporarily Unavailable'));
    const outcome = await outcomeOf(act);
    expect(outcome).toMatchObject({ kind: 'unavailable' });
    expect(outcome).not.toHaveProperty('limit');
  });
});

test.each(["CROSSSLOT Keys in request don't hash to the same slot", 'MOVED 15971 127.0.0.1:7002'])(
  'misconfigured by a Redis cluster: 500 %s',
  async (text) => {
    expect(await outcomeOf(failure(500, text))).toMatchObject({
      kind: 'misconfigured',
      reason: `500 ${text}`,
      hint: saying(/cluster can't hold Bayes/),
    });
  },
);

test.each([
  [`http://127.0.0.1:${await freePort()}`, 'refused', /^connection refused.*\(ECONNREFUSED\)$/],
  ['unix:/nonexistent/rspamd.sock', 'refused', /^connection refused.*\(ENOENT\)$/],
  ['unix:/dev/null/rspamd.sock', 'refused', /^connection refused.*\(ENOTDIR\)$/],
  ['http://controller.invalid:11334', 'none', /host name is not found/],
])('unavailable: nobody at %s', async (url, contact, reason) => {
  const expected = { kind: 'unavailable', contact, reason: saying(reason) };
  expect(await learn(trainerAt(url))).toEqual(expected);
});

// EAI_FAIL is what a resolver that refuses comes to (glibc, musl).
test.each(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL'])('unavailable: no name, by %s', (code) => {
  const reason = saying(/host name is not found/);
  expect(classifyFault({ code })).toEqual({ kind: 'unavailable', contact: 'none', reason });
});

const HOSTILE_IDS = [
  'OOM command not allowed@x',
  'x"@y',
  '","error":"OOM command not allowed',
  '\\","error":"READONLY',
  'invalid command',
  EMPTY,
  'Connection refused',
  '> OOM command not allowed <',
  '%s%n$(reboot)`',
];

test.each<Row>([
  ['an unknown 500', failure(500, 'cannot scan this'), '500 cannot scan this'],
  ['an unknown 400', failure(400, 'cannot parse this'), '400 cannot parse this'],
  ['500 that begins with error', failure(500, 'error: bad MIME'), '500 error: bad MIME'],
  ['500 that begins with Busy', failure(500, 'Busy for now'), '500 Busy for now'],
  ['503 of a proxy', nginxPage('503 Service Unavailable'), '503 Service Unavailable'],
  ['500 without length', answer('500 Bad', '{"error":"odd"}', { withoutLength: true }), '500 Bad'],
  ['500 with half a body', cut(failure(500, 'odd'), '{"error'), '500 odd'],
  ['a status that is none', raw('HTTP/1.1 7 odd\r\n\r\n'), '7 odd'],
  ['a body of 600 MB', flood('500 Endless', 600), '500 Endless'],
  ['500 with an odd Message-ID', failure(500, `<${ODD_ID}> is odd`), /^500/],
  ...HOSTILE_IDS.flatMap((id): Row[] => [
    [`500 with <${id}>`, failure(500, `<${id}> cannot be learned`), /^500/],
    [`500 with <${id}> in its body`, inBody(`<${id}> cannot be learned`), /^500/],
    [`500 with <${id}> behind a line break`, inBody(`<x\n${id}> is odd`), /^500/],
  ]),
])('deferred, with an answer: %s', async (_, act, reason) => {
  const expected = { kind: 'deferred', answered: true, reason: saying(reason) };
  expect(await outcomeOf(act)).toEqual(expected);
});

test.each([...HOSTILE_IDS, 'all learn conditions denied learning spam'])(
  'words of a sender leave 204 refused, and 208 a duplicate: %s',
  async (id) => {
    expect(await outcomeOf(failure(204, `<${id}> ${FEW}`))).toMatchObject({ kind: 'refused' });
    expect(await outcomeOf(alreadyLearned(id, 'spam'))).toEqual({ kind: 'duplicate' });
  },
);

test.each<Row>([
  ['closed without a byte', CLOSES, /ECONNRESET/],
  ['reset', RESETS, /ECONNRESET/],
  ['cut in the status line', cut(failure(500, 'odd error'), 'odd'), /^no answer/],
  ['reset in the status line', cut(failure(500, 'odd error'), 'odd', 'reset'), /ECONNRESET/],
  ['cut in the headers', cut(failure(500, 'odd error'), 'Date: '), /^no answer/],
  ['garbage', GARBAGE, /NO_HTTP/],
  ['zero bytes', raw(Buffer.alloc(1000)), /^no answer/],
  ['a mail server, which waits for more', raw('220 mail.example ESMTP\r\n', 'stay'), /NO_HTTP/],
  ['spamd, which closes', raw('SPAMD/1.0 76 Bad header line: (POST)\r\n'), /NO_HTTP/],
  ['a status that goes on', raw('HTTP/1.1 2000 OK\r\n\r\n'), /NO_HTTP/],
  ['silence', SILENCE, /ETIMEDOUT/],
  [
    'silence, and a proxy that says so',
    nginxPage('504 Gateway Time-out'),
    /waited .* in vain \(504/,
  ],
  ['half a status line and silence', raw('HTTP/1.1 20', 'stay'), /ETIMEDOUT/],
  ['a drip in the headers', drip(failure(500, 'x'.repeat(1000)), 20), /ETIMEDOUT/],
  ['endless interim answers', drip(raw('HTTP/1.1 102 Wait\r\n\r\n'.repeat(99)), 5), /ETIMEDOUT/],
])('deferred, without an answer: %s', { timeout: 5_000 }, async (_, act, reason) => {
  expect(await outcomeOf(act, SHORT)).toEqual({
    kind: 'deferred',
    answered: false,
    reason: saying(reason),
  });
});

test('deferred: a drip in the body ends with the timeout, and its status counts', async () => {
  const head = 'HTTP/1.1 500 Slow\r\nContent-Length: 1000\r\n\r\n';
  const body = drip(raw('x'.repeat(1000)), 20);
  const act: Act = { ...body, pieces: [head, ...body.pieces] };
  expect(await outcomeOf(act, SHORT)).toMatchObject({ kind: 'deferred', answered: true });
});

test('a reason has nothing of the mail, wherever the server repeats it', async () => {
  const text = MESSAGE.toString().split('\r\n').slice(9).join(' ').trim();
  const outcome = await outcomeOf(failure(500, `\x1b[31mcannot learn: ${text}`));
  const { reason } = outcome as { reason: string };
  expect(reason).toMatch(/^500 \?\[31mcannot learn: ?\[mail\]/);
  expect(reason.length).toBeLessThanOrEqual(160);
});
