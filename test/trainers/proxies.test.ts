import { describe, expect, test } from 'vitest';
import type { Act } from '../faults/fault-server.ts';
import { FaultServer } from '../faults/fault-server.ts';
import { UNAUTHORIZED, always, failure, raw } from '../faults/plays.ts';
import { nginxPage, passedOn } from '../faults/proxy-pages.ts';
import { learn, outcomeOf, trainerAt } from './connect.ts';

/** What a proxy in front of rspamd says by itself, as bytes from a raw socket through the real trainer. */

describe('a proxy’s own answer is told apart:', () => {
  test.each<[string, Act, RegExp, RegExp]>([
    [
      '400 to http: on a TLS port, by nginx',
      nginxPage('400 Bad Request', 'The plain HTTP request was sent to HTTPS port'),
      /speaks TLS on this port.*\(400 Bad Request\)/,
      /use https: in RSPAMD_URL/,
    ],
    [
      '400 to http: on a TLS port, by Go',
      raw('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n'),
      /speaks TLS/,
      /use https:/,
    ],
    [
      '400 to who has no client certificate',
      nginxPage('400 Bad Request', 'No required SSL certificate was sent'),
      /wants a client certificate/,
      /let this host pass without one/,
    ],
    [
      '401 of auth_basic',
      nginxPage('401 Unauthorized', '', ['WWW-Authenticate: Basic realm="rspamd"']),
      /wants a login of its own \(401 Unauthorized\)/,
      /RSPAMD_PASSWORD is rspamd's and can't help/,
    ],
    [
      '401 without a page, as of forward_auth',
      raw('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'),
      /wants a login of its own/,
      /can't help/,
    ],
    ['403 of deny', nginxPage('403 Forbidden'), /refuses this host/, /allow ADDRESS/],
    ['405', nginxPage('405 Not Allowed'), /takes no learning posts/, /let POST/],
  ])('%s is misconfigured', async (_, act, reason, hint) => {
    expect(await outcomeOf(act)).toEqual({
      kind: 'misconfigured',
      reason: expect.stringMatching(reason) as string,
      hint: expect.stringMatching(hint) as string,
      password: false,
    });
  });

  test.each<[string, Act]>([
    ['nginx', nginxPage('413 Request Entity Too Large')],
    ['one without words', raw('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n')],
  ])('413 by %s holds the message back', async (_, act) => {
    expect(await outcomeOf(act)).toEqual({
      kind: 'held',
      reason: expect.stringMatching(/lets no message of this size through \(413 /) as string,
      hint: expect.stringContaining('client_max_body_size') as string,
    });
  });

  test('413 before the body was read, which goes on coming', async () => {
    await using server = await FaultServer.start({
      early: () => ({ ...nginxPage('413 Request Entity Too Large'), then: 'stay' }),
      play: always(failure(500, 'never')),
    });
    const body = Buffer.alloc(8 << 20, 'x');
    expect(await learn(trainerAt(server.url), body)).toMatchObject({ kind: 'held' });
  });

  const date = 'Date: Sun, 29 Nov 2026 07:49:30 GMT';
  test.each<[string, Act, number | undefined]>([
    ['429 of limit_req', nginxPage('429 Too Many Requests'), undefined],
    ['503 of limit_req', nginxPage('503 Service Temporarily Unavailable'), undefined],
    ['seconds', nginxPage('429 Too Many Requests', '', ['Retry-After: 2']), 2_000],
    ['more than anybody waits', nginxPage('429 Slow', '', ['Retry-After: 99999999']), 300_000],
    [
      'a date',
      nginxPage('429 Slow', '', [date, 'Retry-After: Sun, 29 Nov 2026 07:49:40 GMT']),
      10_000,
    ],
    ['nonsense', nginxPage('429 Slow', '', [date, 'Retry-After: later']), undefined],
  ])('a limited rate, with %s', async (_, act, retryAfterMs) => {
    expect(await outcomeOf(act)).toMatchObject({
      kind: 'unavailable',
      contact: 'answered',
      limit: { retryAfterMs, hint: expect.stringContaining('limit_req') as string },
    });
  });

  test('503 of a proxy that finds nobody behind it is no limited rate', async () => {
    const act = nginxPage('503 Service Unavailable');
    expect(await outcomeOf(act)).toMatchObject({ kind: 'deferred', answered: true });
  });
});

describe('what rspamd says is rspamd’s, although a proxy has put its name on it:', () => {
  test.each<[string, Act]>([
    ['401', UNAUTHORIZED],
    ['429', failure(429, 'Too many authentication failures')],
  ])('%s is about the password', async (_, act) => {
    expect(await outcomeOf(passedOn(act))).toMatchObject({
      kind: 'misconfigured',
      password: true,
      hint: expect.stringMatching(/RSPAMD_PASSWORD/) as string,
    });
  });

  test('413 is the message’s', async () => {
    const act = failure(413, 'Undefined Error');
    expect(await outcomeOf(passedOn(act))).toMatchObject({ kind: 'rejected' });
  });

  test('an error of Redis is an outage, not a limited rate', async () => {
    const act = passedOn(failure(503, 'OOM command not allowed: Service Temporarily Unavailable'));
    const outcome = await outcomeOf(act);
    expect(outcome).toMatchObject({ kind: 'unavailable' });
    expect(outcome).not.toHaveProperty('limit');
  });
});
