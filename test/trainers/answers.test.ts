import { describe, expect, test } from 'vitest';
import { freePort } from '../../src/servers/ports.ts';
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
import { MESSAGE, learn, outcomeOf, trainerAt } from './connect.ts';

/**
 * The table of answers: each row of what rspamd's controller was heard to say, as bytes from a raw
 * socket through the real trainer.
 */

const ID = 'a0db80451c07d9e8545e3732@mail.example';
type Misconfigured = readonly [name: string, act: Act, password: boolean, hint: RegExp];

/** For the acts that end by the request's timeout only. */
const SHORT = { timeoutMs: 1_000 };

describe('learned or known', () => {
  test('200 is learned', async () => {
    expect(await outcomeOf(SUCCESS)).toEqual({ kind: 'learned' });
  });

  test('200 is learned when its body is cut, missing or endless', async () => {
    const acts = [cut(SUCCESS, '{"succ'), cut(SUCCESS, '\r\n\r\n'), flood('200 OK', 600)];
    for (const act of acts) expect(await outcomeOf(act)).toEqual({ kind: 'learned' });
  });

  test('208 is a duplicate', async () => {
    expect(await outcomeOf(alreadyLearned(ID, 'spam'))).toEqual({ kind: 'duplicate' });
  });

  test('208 is a duplicate when the connection is cut right behind its headers', async () => {
    const act = cut(alreadyLearned(ID, 'spam'), '\r\n\r\n');
    expect(await outcomeOf(act)).toEqual({ kind: 'duplicate' });
  });

  test.each([17, 40, 64, 100, 250])(
    '208 is a duplicate with a Message-ID of %i KB in it, which overflows the parser',
    async (kilobytes) => {
      const act = alreadyLearned('x'.repeat(kilobytes * 1024), 'spam');
      expect(await outcomeOf(act)).toEqual({ kind: 'duplicate' });
    },
  );
});

describe('a Message-ID that breaks the status line', () => {
  const id = 'odd\rX-Header: \x00 \x01@mail.example';

  test('leaves 208 a duplicate', async () => {
    expect(await outcomeOf(alreadyLearned(id, 'spam'))).toEqual({ kind: 'duplicate' });
  });

  test('leaves 204 refused', async () => {
    const act = failure(204, `<${id}> contains less tokens than required: 3 < 11`);
    expect(await outcomeOf(act)).toMatchObject({ kind: 'refused' });
  });

  test('leaves an unknown 500 deferred, as answered', async () => {
    const act = failure(500, `<${id}> is odd`);
    expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: true });
  });
});

describe('refused: nothing to learn from it', () => {
  test.each([
    ['less tokens', `<${ID}> contains less tokens than required for bayes classifier: 3 < 11`],
    ['more tokens', `<${ID}> contains more tokens than allowed for bayes classifier: 9 > 8`],
  ])('204 %s, with the body that Node chokes on', async (_, text) => {
    const reason = `204 ${text.replace(ID, 'id')}`;
    expect(await outcomeOf(failure(204, text))).toEqual({ kind: 'refused', reason });
  });

  test('204 without body, and without a reason', async () => {
    const empty = raw('HTTP/1.1 204 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    expect(await outcomeOf(empty)).toMatchObject({ kind: 'refused' });
  });

  test('204 with a Message-ID of 17 KB: the reason in the log stays short', async () => {
    const act = failure(204, `<${'x'.repeat(17 * 1024)}> contains less tokens than required`);
    const outcome = await outcomeOf(act);
    expect(outcome).toMatchObject({ kind: 'refused' });
    expect(JSON.stringify(outcome).length).toBeLessThan(300);
  });
});

describe('"all learn conditions denied"', () => {
  const denied = failure(204, 'all learn conditions denied learning spam in default classifier');

  async function outcomeWith(stat: Act): Promise<unknown> {
    await using server = await FaultServer.start({
      play: plays(
        { when: learns, act: denied },
        { when: ({ path }) => path === '/stat', act: stat },
      ),
    });
    return await learn(trainerAt(server.url, SHORT));
  }

  test('is refused where Bayes has a backend', async () => {
    expect(await outcomeWith(statistics(300, 300))).toMatchObject({
      kind: 'refused',
      reason: '204 all learn conditions denied learning spam in default classifier',
    });
  });

  test('is refused where the backend is away for a moment: two empty statfiles', async () => {
    const act = answer('200 OK', '{"statfiles":[{},{}]}');
    expect(await outcomeWith(act)).toMatchObject({ kind: 'refused' });
  });

  test('is misconfigured where there is no backend: no statfiles', async () => {
    expect(await outcomeWith(answer('200 OK', '{"statfiles":[]}'))).toMatchObject({
      kind: 'misconfigured',
      password: false,
      reason: 'rspamd has no Bayes backend ("statfiles" is empty in /stat)',
    });
  });

  test.each([
    ['silent', SILENCE],
    ['cut off', cut(statistics(300, 300), 'statfiles')],
    ['refused for its password', UNAUTHORIZED],
    ['no JSON', answer('200 OK', 'pong')],
    ['without statfiles', answer('200 OK', '{"uptime":3}')],
  ])("is the controller's while /stat is %s", async (_, stat) => {
    expect(await outcomeWith(stat)).toMatchObject({ kind: 'unavailable', contact: 'answered' });
  });
});

describe('rejected: the message is at fault', () => {
  test.each([
    ['400', failure(400, 'Empty body is not permitted')],
    ['413', failure(413, 'Undefined Error')],
    ['500', failure(500, 'Trying to learn an empty message')],
    [
      '500 whose text is in the body only',
      answer('500 Internal Server Error', '{"error":"Trying to learn an empty message"}'),
    ],
  ])('%s', async (_, act) => {
    expect(await outcomeOf(act)).toMatchObject({ kind: 'rejected' });
  });

  test('a message of no bytes is posted as such', async () => {
    await using server = await FaultServer.start({
      play: ({ headers }) =>
        headers['content-length'] === '0' ? failure(400, 'Empty body is not permitted') : SUCCESS,
    });
    expect(await learn(trainerAt(server.url), Buffer.alloc(0))).toEqual({
      kind: 'rejected',
      reason: '400 Empty body is not permitted',
    });
  });

  test('413 before the body was read, which goes on coming', async () => {
    await using server = await FaultServer.start({
      early: () => ({ ...failure(413, 'Undefined Error'), then: 'stay' }),
      play: () => SUCCESS,
    });
    const body = Buffer.alloc(8 << 20, 'x');
    expect(await learn(trainerAt(server.url), body)).toMatchObject({ kind: 'rejected' });
  });
});

describe('misconfigured: hold everything', () => {
  const redirects = [300, 301, 302, 303, 307, 308].map((status): Misconfigured => {
    const act = answer(`${status} Elsewhere`, '', { headers: ['Location: http://127.0.0.1:9/'] });
    return [`${status}: a redirect`, act, false, /not followed/];
  });

  test.each<Misconfigured>([
    ['401', UNAUTHORIZED, true, /RSPAMD_PASSWORD.*secure_ip/],
    ['403', failure(403, 'Forbidden'), true, /RSPAMD_PASSWORD/],
    ['429', failure(429, 'Too many authentication failures'), true, /RSPAMD_PASSWORD/],
    ['404 Not found', NOT_FOUND, false, /RSPAMD_URL.*port.*path prefix/],
    [
      '404 already learned, which is not true',
      failure(404, `<${ID}> has been already learned as spam, ignore it`),
      false,
      /Redis server in local\.d/,
    ],
    [
      '404 already learned, said in the body only',
      answer('404 Not Found', `{"error":"<${ID}> has been already learned as ham, ignore it"}`),
      false,
      /Redis server in local\.d/,
    ],
    ['404 cannot find classifier', failure(404, 'cannot find classifier bayes'), false, /"bayes"/],
    ['404 no classifiers', failure(404, 'no classifiers defined'), false, /"bayes"/],
    [
      "500 invalid command: the scan worker's port",
      failure(500, 'invalid command'),
      false,
      /11334/,
    ],
    [
      '500 invalid command, said in the body only',
      answer('500 Internal Server Error', '{"error":"invalid command"}'),
      false,
      /11334/,
    ],
    ...redirects,
  ])('%s', async (_, act, password, hint) => {
    const outcome = await outcomeOf(act);
    expect(outcome).toMatchObject({ kind: 'misconfigured', password });
    expect(outcome).toHaveProperty('hint', expect.stringMatching(hint));
  });
});

describe("unavailable: rspamd's Redis", () => {
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
    const unavailable = { kind: 'unavailable', contact: 'answered', reason: `500 ${text}` };
    expect(await outcomeOf(failure(500, text))).toEqual(unavailable);
    const inBody = answer('500 Internal Server Error', `{"error":"${text}"}`);
    expect(await outcomeOf(inBody)).toMatchObject({ kind: 'unavailable', contact: 'answered' });
  });

  // 3.4 writes the errno of its connection to Redis where the status belongs: ENETUNREACH is 101,
  // ECONNRESET 104, ETIMEDOUT 110, which HTTP takes for interim answers.
  test.each([1, 5, 32, 60, 101, 104, 110, 111])('a status line with errno %i', async (errno) => {
    const text = 'cannot get learned: error getting reply from redis server 127.0.0.1:6379: gone';
    expect(await outcomeOf(failure(errno, text))).toMatchObject({
      kind: 'unavailable',
      contact: 'answered',
      reason: `${errno} ${text}`,
    });
  });

  test.each([1, 101, 104, 110])('a status line with errno %i whose body is late', async (errno) => {
    const line = `HTTP/1.1 ${errno} cannot get learned: error getting reply from redis server`;
    expect(await outcomeOf(raw(`${line}\r\n\r\n`, 'stay'), SHORT)).toMatchObject({
      kind: 'unavailable',
      contact: 'answered',
    });
  });
});

describe('unavailable: nobody there', () => {
  test('a port that refuses', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await learn(trainerAt(url))).toEqual({
      kind: 'unavailable',
      contact: 'refused',
      reason: 'connection refused (ECONNREFUSED)',
    });
  });

  test('a socket that is not there', async () => {
    const outcome = await learn(trainerAt('unix:/nonexistent/rspamd.sock'));
    expect(outcome).toMatchObject({ kind: 'unavailable', contact: 'refused' });
  });

  test('a name that leads nowhere', async () => {
    const outcome = await learn(trainerAt('http://controller.invalid:11334'));
    expect(outcome).toMatchObject({ kind: 'unavailable', contact: 'none' });
  });
});

describe('deferred: nobody knows the culprit', () => {
  test.each([
    ['an unknown 500', failure(500, 'cannot scan this'), '500 cannot scan this'],
    ['an unknown 400', failure(400, 'cannot parse this'), '400 cannot parse this'],
    ['500 that begins with error', failure(500, 'error: bad MIME'), '500 error: bad MIME'],
    ['500 that begins with ERROR', failure(500, 'ERROR: bad MIME'), '500 ERROR: bad MIME'],
    ['500 that begins with Busy', failure(500, 'Busy for now'), '500 Busy for now'],
    ['503 of a proxy', answer('503 Service Unavailable', '<html>'), '503 Service Unavailable'],
    [
      'an unknown 500 without length',
      answer('500 Bad', '{"error":"odd"}', { withoutLength: true }),
      '500 Bad',
    ],
    ['an unknown 500 with half a body', cut(failure(500, 'odd'), '{"error'), '500 odd'],
    ['a status that is none', raw('HTTP/1.1 7 odd\r\n\r\n'), '7 odd'],
    ['a body of 600 MB', flood('500 Endless', 600), '500 Endless'],
  ])('%s has an answer', async (_, act, reason) => {
    expect(await outcomeOf(act)).toEqual({ kind: 'deferred', answered: true, reason });
  });

  test.each([
    ['closed without a byte', CLOSES],
    ['reset', RESETS],
    ['cut in the status line', cut(failure(500, 'odd error'), 'odd')],
    ['reset in the status line', cut(failure(500, 'odd error'), 'odd', 'reset')],
    ['cut in the headers', cut(failure(500, 'odd error'), 'Date: ')],
    ['garbage', GARBAGE],
    ['zero bytes', raw(Buffer.alloc(1000))],
  ] as const)('%s has none', async (_, act) => {
    expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: false });
  });

  test.each([
    ['silence', SILENCE],
    ['half a status line and silence', raw('HTTP/1.1 20', 'stay')],
    ['a drip in the headers', drip(failure(500, 'x'.repeat(1000)), 20)],
    ['an endless interim answer', drip(raw('HTTP/1.1 102 Processing\r\n\r\n'.repeat(99)), 5)],
  ] as const)('%s has none and ends with the timeout', { timeout: 5_000 }, async (_, act) => {
    const expected = { kind: 'deferred', answered: false, reason: 'no answer (ETIMEDOUT)' };
    expect(await outcomeOf(act, SHORT)).toEqual(expected);
  });

  test('a drip in the body ends with the timeout, and its status counts', async () => {
    const head = 'HTTP/1.1 500 Slow\r\nContent-Length: 1000\r\n\r\n';
    const body = drip(raw('x'.repeat(1000)), 20);
    const act: Act = { ...body, pieces: [head, ...body.pieces] };
    expect(await outcomeOf(act, SHORT)).toMatchObject({ kind: 'deferred', answered: true });
  });
});

describe('words that a sender put into the Message-ID decide nothing', () => {
  const hostile = [
    'OOM command not allowed@x',
    'x"@y',
    '","error":"OOM command not allowed',
    '\\","error":"READONLY',
    'invalid command',
    'Trying to learn an empty message',
    'Connection refused',
    '> OOM command not allowed <',
    '%s%n$(reboot)`',
    "' or 1=1 --",
  ];

  test.each(hostile)('an unknown 500 stays deferred with <%s>', async (id) => {
    const act = failure(500, `<${id}> cannot be learned`);
    expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: true });
  });

  test.each(hostile)('also where the text is in the body only: <%s>', async (id) => {
    const act = answer('500 Internal Server Error', `{"error":"<${id}> cannot be learned"}`);
    expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: true });
  });

  test.each(['OOM command not allowed', 'invalid command', 'Trying to learn an empty message'])(
    'also behind a line break in the body: %s',
    async (words) => {
      const act = answer('500 Internal Server Error', `{"error":"<x\n${words}> is odd"}`);
      expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: true });
    },
  );

  test.each([...hostile, 'all learn conditions denied learning spam'])(
    '204 stays refused with <%s>',
    async (id) => {
      const act = failure(204, `<${id}> contains less tokens than required: 3 < 11`);
      expect(await outcomeOf(act)).toMatchObject({ kind: 'refused' });
    },
  );

  test.each(hostile)('208 stays a duplicate with <%s>', async (id) => {
    expect(await outcomeOf(alreadyLearned(id, 'spam'))).toEqual({ kind: 'duplicate' });
  });
});

describe('a reason that goes into the log', () => {
  test('has neither control characters nor the Message-ID, and is short', async () => {
    const act = failure(500, `\x1b[31m<${ID}>\t\x85${'long '.repeat(500)}`);
    const outcome = await outcomeOf(act);
    const { reason } = outcome as { reason: string };
    expect(reason).toMatch(/^500 \?\[31m<id>\?\?long long/);
    expect(reason.length).toBeLessThanOrEqual(160);
  });

  test('has no part of a Message-ID that is longer than the reason', async () => {
    const message = Buffer.from(`Message-ID: <${'secret'.repeat(99)}>\r\n\r\nHello\r\n`);
    await using server = await FaultServer.start({
      play: () => failure(500, `<${'secret'.repeat(99)}> cannot be learned`),
    });
    const outcome = await learn(trainerAt(server.url), message);
    expect(JSON.stringify(outcome)).not.toContain('secret');
  });

  test('has nothing of the mail, wherever the server repeats it', async () => {
    const text = MESSAGE.toString().split('\r\n').slice(9).join(' ').trim();
    const act = failure(500, `cannot learn: ${text}`);
    const { reason } = (await outcomeOf(act)) as { reason: string };
    expect(reason).toMatch(/^500 cannot learn: ?\[mail\]/);
    for (let i = 0; i < reason.length - 20; i += 1) {
      expect(MESSAGE.includes(reason.slice(i, i + 20))).toBe(false);
    }
  });
});
