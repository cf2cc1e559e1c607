import { getEventListeners } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/servers/ports.ts';
import { makeMessage } from '../lab/messages.ts';
import { Secret } from '../../src/secret.ts';
import type { RspamdTrainer } from '../../src/trainers/rspamd.ts';
import { makeCertificate } from '../faults/certificate.ts';
import type { Certificate } from '../faults/certificate.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act, FaultRequest } from '../faults/fault-server.ts';
import {
  CLOSES,
  GARBAGE,
  SILENCE,
  SUCCESS,
  UNAUTHORIZED,
  always,
  answer,
  cut,
  drip,
  failure,
  flood,
  plays,
  raw,
  statistics,
} from '../faults/plays.ts';
import { MESSAGE, PATIENCE_MS, learn, trainerAt } from './connect.ts';

const NEVER = new AbortController().signal;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'learnd-trainer-test-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The one request that the server got. */
function theRequest({ requests }: FaultServer): FaultRequest {
  expect(requests).toHaveLength(1);
  const [request] = requests;
  if (request === undefined) throw new Error('no request came');
  return request;
}

/** Waits for what the server's side of a connection notices a little later. */
async function until(isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { interval: 5, timeout: PATIENCE_MS }).toBe(true);
}

describe('a post', () => {
  test.each(['spam', 'ham'] as const)('of %s goes to its path, byte for byte', async (verdict) => {
    await using server = await FaultServer.start({ play: plays() });
    const { raw: body } = makeMessage(verdict, 3);
    expect(await trainerAt(server.url).learn(verdict, body, NEVER)).toEqual({ kind: 'learned' });
    const request = theRequest(server);
    expect(request.method).toBe('POST');
    expect(request.path).toBe(`/learn${verdict}`);
    expect(request.body.equals(body)).toBe(true);
  });

  test('carries the headers that it needs and no others', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await learn(trainerAt(server.url, { password: Secret.ofValue('hunter2') }));
    const { headers } = theRequest(server);
    expect(headers).toEqual({
      host: server.url.replace('http://', ''),
      'user-agent': 'kopano-learnd',
      'content-length': String(MESSAGE.length),
      'learn-type': 'bulk',
      password: 'hunter2',
      connection: expect.any(String) as string,
    });
  });

  test('has no password where none is set', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await learn(trainerAt(server.url));
    expect(theRequest(server).headers).not.toHaveProperty('password');
  });

  test('has no Learn-Type where it is not to be bulk', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await learn(trainerAt(server.url, { bulk: false }));
    expect(theRequest(server).headers).not.toHaveProperty('learn-type');
  });

  test('carries bytes that are no text unchanged', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    await learn(trainerAt(server.url), body);
    expect(theRequest(server).body.equals(body)).toBe(true);
  });

  test('sends a password as the bytes that it has in UTF-8', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await learn(trainerAt(server.url, { password: Secret.ofValue('pässwörd') }));
    const { password = '' } = theRequest(server).headers;
    expect(Buffer.from(password, 'latin1').toString('utf8')).toBe('pässwörd');
  });

  test('the second of the same message is a duplicate, the other verdict is learned', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const trainer = trainerAt(server.url);
    const kinds: string[] = [];
    for (const verdict of ['spam', 'spam', 'ham', 'ham', 'spam'] as const) {
      kinds.push((await trainer.learn(verdict, MESSAGE, NEVER)).kind);
    }
    expect(kinds).toEqual(['learned', 'duplicate', 'learned', 'duplicate', 'learned']);
  });
});

describe('/ping is asked', () => {
  const isPing = ({ path }: FaultRequest): boolean => path === '/ping';
  const paths = ({ requests }: FaultServer): string[] => requests.map(({ path }) => path);

  test('before the first post: rspamd 4.1 listens before it can learn', async () => {
    await using server = await FaultServer.start({ play: plays(), playsPing: true });
    const trainer = trainerAt(server.url, { now: () => 0 });
    await learn(trainer);
    await learn(trainer);
    expect(paths(server)).toEqual(['/ping', '/learnspam', '/learnspam']);
  });

  test('before a post that comes 250 ms after the last answer: rspamd may be another one', async () => {
    await using server = await FaultServer.start({ play: plays(), playsPing: true });
    let now = 0;
    const trainer = trainerAt(server.url, { now: () => now });
    await learn(trainer);
    now = 249;
    await learn(trainer);
    now += 250;
    await learn(trainer);
    const expected = ['/ping', '/learnspam', '/learnspam', '/ping', '/learnspam'];
    expect(paths(server)).toEqual(expected);
  });

  test.each([
    ['without an answer', CLOSES, ['/learnspam', '/ping', '/learnspam']],
    ['that failed with an answer, not', failure(500, 'odd'), ['/learnspam', '/learnspam']],
  ])('after a post %s', async (_what, act, expected) => {
    await using server = await FaultServer.start({
      play: plays({ when: ({ method }) => method === 'POST', act, times: 1 }),
      playsPing: true,
    });
    const trainer = trainerAt(server.url, { now: () => 0 });
    await learn(trainer);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(paths(server)).toEqual(['/ping', ...expected]);
  });

  test('and while it is not answered nothing is posted, and no message is suspected', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: isPing, act: CLOSES, times: 1 }),
      playsPing: true,
    });
    const trainer = trainerAt(server.url);
    expect(await learn(trainer)).toEqual({
      kind: 'unavailable',
      reason: 'no answer to /ping (ECONNRESET)',
      contact: 'none',
    });
    expect(paths(server)).toEqual(['/ping']);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
  });

  test.each([
    ['403 of a proxy', answer('403 Forbidden')],
    ['no HTTP', GARBAGE],
  ])('and %s does for an answer: the post tells', async (_what, act) => {
    await using server = await FaultServer.start({
      play: plays({ when: isPing, act }),
      playsPing: true,
    });
    expect(await learn(trainerAt(server.url))).toEqual({ kind: 'learned' });
  });

  test('until we give up', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE), playsPing: true });
    const stop = new AbortController();
    const outcome = trainerAt(server.url).learn('spam', MESSAGE, stop.signal);
    await until(() => server.open === 1);
    stop.abort();
    expect(await outcome).toEqual({ kind: 'aborted' });
  });
});

describe('the controller', () => {
  test.each(['/rspamd', '/a/b/'])('may lie behind a path prefix: %s', async (prefix) => {
    await using server = await FaultServer.start({ play: plays() });
    const trainer = trainerAt(server.url + prefix);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await trainer.statistics(NEVER)).toMatchObject({ hasBackend: true });
    expect(server.requests.map(({ path }) => path)).toEqual([
      `${prefix.replace(/\/$/, '')}/learnspam`,
      `${prefix.replace(/\/$/, '')}/stat`,
    ]);
  });

  test('may be a Unix socket', async () => {
    const socketPath = join(folder, 'controller.sock');
    await using server = await FaultServer.start({ play: plays(), socketPath });
    const trainer = trainerAt(server.url);
    expect(trainer.name).toBe(`unix:${socketPath}`);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await learn(trainer)).toEqual({ kind: 'duplicate' });
    expect(await trainer.time(NEVER)).toBeDefined();
    expect(server.requests.map(({ path }) => path)).toEqual(['/learnspam', '/learnspam']);
  });
});

describe('over TLS', () => {
  let certificate: Certificate;

  beforeAll(() => {
    certificate = makeCertificate();
  });

  test('the controller is trusted by RSPAMD_CA_FILE', async () => {
    await using server = await FaultServer.start({ play: plays(), tls: certificate });
    const trainer = trainerAt(server.url, { ca: certificate.cert });
    expect(server.url).toMatch(/^https:/);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await learn(trainer)).toEqual({ kind: 'duplicate' });
  });

  test('an unknown authority is misconfigured, and gets neither mail nor password', async () => {
    await using server = await FaultServer.start({ play: plays(), tls: certificate });
    const password = Secret.ofValue('hunter2');
    expect(await learn(trainerAt(server.url, { password }))).toMatchObject({
      kind: 'misconfigured',
      password: false,
      hint: expect.stringContaining('RSPAMD_CA_FILE') as string,
    });
    expect(server.requests).toEqual([]);
  });

  test('a certificate for another name is misconfigured', async () => {
    const other = makeCertificate('DNS:elsewhere.example');
    await using server = await FaultServer.start({ play: plays(), tls: other });
    const outcome = await learn(trainerAt(server.url, { ca: other.cert }));
    expect(outcome).toMatchObject({ kind: 'misconfigured' });
    expect(server.requests).toEqual([]);
  });

  test('https to a port that speaks plain HTTP is misconfigured', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const outcome = await learn(trainerAt(server.url.replace('http:', 'https:')));
    expect(outcome).toMatchObject({ kind: 'misconfigured' });
  });

  test('faults of the controller are told from those of TLS', async () => {
    await using server = await FaultServer.start({ play: always(CLOSES), tls: certificate });
    const trainer = trainerAt(server.url, { ca: certificate.cert });
    expect(await learn(trainer)).toMatchObject({ kind: 'deferred', answered: false });
    const url = `https://127.0.0.1:${await freePort()}`;
    expect(await learn(trainerAt(url))).toMatchObject({ kind: 'unavailable', contact: 'refused' });
  });
});

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])(
    '%i is not followed: neither mail nor password leave for the other host',
    async (status) => {
      await using other = await FaultServer.start({ play: plays() });
      await using server = await FaultServer.start({
        play: always(
          answer(`${status} Moved`, '', { headers: [`Location: ${other.url}/learnspam`] }),
        ),
      });
      const password = Secret.ofValue('hunter2');
      const outcome = await learn(trainerAt(server.url, { password }));
      expect(outcome).toMatchObject({ kind: 'misconfigured', password: false });
      expect(server.requests).toHaveLength(1);
      expect(await trainerAt(server.url, { password }).statistics(NEVER)).toBeUndefined();
      await trainerAt(server.url, { password }).time(NEVER);
      expect(other.connections).toBe(0);
    },
  );
});

describe('a password in a file', () => {
  test('is sent as it was read, and anew once it is read again', async () => {
    const file = join(folder, 'password');
    writeFileSync(file, 'first\n');
    const password = Secret.ofFile(file);
    await using server = await FaultServer.start({
      play: plays({ when: ({ headers }) => headers['password'] !== 'second', act: UNAUTHORIZED }),
    });
    const trainer = trainerAt(server.url, { password });
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured', password: true });
    writeFileSync(file, 'second\n');
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured', password: true });
    expect(password.refresh()).toBe(true);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(password.refresh()).toBe(false);
    expect(server.requests.map(({ headers }) => headers['password'])).toEqual([
      'first',
      'first',
      'second',
    ]);
  });

  test('that is gone or empty for a moment stays the one that it was', () => {
    const file = join(folder, 'replaced');
    writeFileSync(file, 'first');
    const password = Secret.ofFile(file);
    writeFileSync(file, '');
    expect(password.refresh()).toBe(false);
    rmSync(file);
    expect(password.refresh()).toBe(false);
    expect(password.header()).toBe('first');
  });
});

describe('a password never gets into a reason', () => {
  test.each(['hunter2-and-more', 'pässwört-ünd-mehr', '.*+?^${}()|[]\\'])(
    'repeated by the server: %s',
    async (value) => {
      const password = Secret.ofValue(value);
      const bytes = Buffer.from(value, 'utf8').toString('latin1');
      // the last repetition lies where the reason is cut
      const texts = [`your ${bytes} is wrong`, `${'x'.repeat(145)} ${bytes}`];
      for (const text of texts) {
        await using server = await FaultServer.start({ play: always(failure(500, text)) });
        const told = JSON.stringify(await learn(trainerAt(server.url, { password })));
        for (const form of [value, bytes]) {
          for (const part of [form.slice(0, 6), form.slice(-6)]) expect(told).not.toContain(part);
        }
        expect(told).toContain('500');
      }
    },
  );
});

describe('every connection is closed by us', () => {
  test.each([
    ['learned', { ...SUCCESS, then: 'stay' }],
    ['an endless body', flood('500 Endless', 600)],
    ['an endless drip', drip(failure(500, 'x'.repeat(1000)), 20)],
    ['half an answer', cut({ ...failure(500, 'odd') }, 'Content')],
    ['half an answer, kept open', { ...cut(failure(500, 'odd'), 'Content'), then: 'stay' }],
    ['silence', SILENCE],
    ['an interim answer', raw('HTTP/1.1 101 Switching Protocols\r\n\r\n', 'stay')],
    ['an upgrade', raw('HTTP/1.1 101 Odd\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\n', 'stay')],
    ['a redirect', { ...answer('302 Found'), then: 'stay' }],
    ['more than the length', raw(`HTTP/1.1 500 Odd\r\nContent-Length: 1\r\n\r\nxyz`, 'stay')],
  ] as readonly (readonly [string, Act])[])('after %s', async (_, act) => {
    await using server = await FaultServer.start({ play: always(act) });
    await learn(trainerAt(server.url, { timeoutMs: 150 }));
    await until(() => server.connected === 0);
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ['a post', '500 Endless', learn],
    ['statistics', '200 Endless', (trainer: RspamdTrainer) => trainer.statistics(NEVER)],
    ['the clock', '200 Endless', (trainer: RspamdTrainer) => trainer.time(NEVER)],
  ] as const)(
    'and of an endless answer to %s no more is read than needed',
    async (_, status, ask) => {
      await using server = await FaultServer.start({ play: always(flood(status, 600)) });
      await ask(trainerAt(server.url));
      await until(() => server.connected === 0);
      expect(server.bytesSent).toBeLessThan(32 << 20); // what the kernel's buffers hold
    },
  );
});

describe('an abort', () => {
  test('ends a post in flight, and its connection', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    const abort = new AbortController();
    const outcome = trainerAt(server.url).learn('spam', MESSAGE, abort.signal);
    await until(() => server.open === 1);
    abort.abort();
    expect(await outcome).toEqual({ kind: 'aborted' });
    await until(() => server.connected === 0);
  });

  test('before the post sends nothing', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const outcome = await trainerAt(server.url).learn('spam', MESSAGE, AbortSignal.abort());
    expect(outcome).toEqual({ kind: 'aborted' });
    expect(server.requests).toEqual([]);
  });

  test('leaves no listener behind, whatever came before', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const abort = new AbortController();
    const trainer = trainerAt(server.url);
    await trainer.learn('spam', MESSAGE, abort.signal);
    await trainer.statistics(abort.signal);
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
  });
});

describe('statistics', () => {
  async function statisticsFrom(act: Act): Promise<unknown> {
    await using server = await FaultServer.start({ play: always(act) });
    const told = await trainerAt(server.url, { timeoutMs: 150 }).statistics(NEVER);
    expect(server.requests).toHaveLength(1); // it isn't for the trainer to ask again
    return told;
  }
  const stat = (text: string): Act => answer('200 OK', text);

  test('count what each class has learned', async () => {
    expect(await statisticsFrom(statistics(212, 207, 31))).toEqual({
      hasBackend: true,
      learned: { spam: 212, ham: 207 },
      uptimeSeconds: 31,
      version: '3.4',
    });
  });

  test('add several statfiles of a class up', async () => {
    const statfiles = [
      { symbol: 'BAYES_SPAM', revision: 3 },
      { symbol: 'BAYES_SPAM', revision: 4 },
      { symbol: 'BAYES_HAM', revision: 0 },
    ];
    expect(await statisticsFrom(stat(JSON.stringify({ statfiles })))).toMatchObject({
      learned: { spam: 7, ham: 0 },
    });
  });

  test('tell how many learns were acknowledged', async () => {
    const told = await statisticsFrom(stat('{"learned":140,"total_learns":80,"statfiles":[{}]}'));
    expect(told).toMatchObject({ learns: 140 });
  });

  test('tell of how many memories they are', async () => {
    const statfiles = [
      { symbol: 'BAYES_SPAM', revision: 3, users: 2 },
      { symbol: 'BAYES_HAM', revision: 0, users: 1 },
    ];
    expect(await statisticsFrom(stat(JSON.stringify({ statfiles })))).toMatchObject({ users: 2 });
  });

  test('without statfiles show that there is no backend', async () => {
    expect(await statisticsFrom(stat('{"statfiles":[]}'))).toMatchObject({ hasBackend: false });
  });

  test('with empty statfiles show a backend that is away', async () => {
    expect(await statisticsFrom(stat('{"statfiles":[{},{}]}'))).toEqual({
      hasBackend: true,
      learned: { spam: undefined, ham: undefined },
      uptimeSeconds: undefined,
    });
  });

  test.each([
    ['no answer', CLOSES],
    ['silence', SILENCE],
    ['a refusal', UNAUTHORIZED],
    ['a redirect', answer('302 Found', '{"statfiles":[{},{}]}')],
    ['no JSON', stat('pong')],
    ['half of it', cut(statistics(1, 2), '"statfiles":[')],
    ['a list', stat('[]')],
    ['null', stat('null')],
    ['a number', stat('3')],
    ['statfiles that are no list', stat('{"statfiles":{"length":2}}')],
    ['an endless answer', flood('200 OK', 600)],
  ])('are unknown after %s', async (_, act) => {
    expect(await statisticsFrom(act)).toBeUndefined();
  });

  test.each([
    ['[null,7,"x",[]]'],
    ['[{"symbol":"BAYES_SPAM","revision":"7"},{"symbol":"BAYES_HAM","revision":null}]'],
  ])('ignore what is no statfile: %s', async (statfiles) => {
    expect(await statisticsFrom(stat(`{"statfiles":${statfiles}}`))).toMatchObject({
      hasBackend: true,
      learned: { spam: undefined, ham: undefined },
    });
  });

  test('are asked for with the password and without Learn-Type', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const password = Secret.ofValue('hunter2');
    await trainerAt(server.url, { password }).statistics(NEVER);
    const { method, headers } = theRequest(server);
    expect(method).toBe('GET');
    expect(headers).toMatchObject({ password: 'hunter2' });
    expect(headers).not.toHaveProperty('learn-type');
    expect(headers).not.toHaveProperty('accept-encoding');
  });
});

describe("the controller's clock", () => {
  test('is the Date of its answer', async () => {
    const act = answer('200 OK', 'pong\r\n', { headers: [] });
    const dated = raw(
      [...act.pieces].join('').replace(/Date: [^\r]*/, 'Date: Tue, 14 Nov 2023 22:13:20 GMT'),
    );
    await using server = await FaultServer.start({ play: always(dated), playsPing: true });
    expect(await trainerAt(server.url).time(NEVER)).toBe(1_700_000_000_000);
    expect(theRequest(server).path).toBe('/ping');
  });

  test.each([
    ['no answer', CLOSES],
    ['no Date', raw('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')],
    ['a Date that is none', raw('HTTP/1.1 200 OK\r\nDate: soon\r\nContent-Length: 0\r\n\r\n')],
  ])('is unknown after %s', async (_, act) => {
    await using server = await FaultServer.start({ play: always(act), playsPing: true });
    expect(await trainerAt(server.url).time(NEVER)).toBeUndefined();
  });

  test('is told in UTC to the second', async () => {
    await using server = await FaultServer.start({ play: plays(), playsPing: true });
    const time = await trainerAt(server.url).time(NEVER);
    expect((time ?? 0) % 1000).toBe(0);
  });
});
