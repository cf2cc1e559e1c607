import { getEventListeners } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { freePort } from '../../src/servers/ports.ts';
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
import { temporaryFolder } from '../support/temporary.ts';
import { MESSAGE, PATIENCE_MS, example, learn, trainerAt } from './connect.ts';

const NEVER = new AbortController().signal;
/** No time passes. */
const STILL = { ...systemClock, monotonic: () => 0 };

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

function paths({ requests }: FaultServer): string[] {
  return requests.map(({ path }) => path);
}

describe('a post', () => {
  test.each(['spam', 'ham'] as const)('of %s goes to its path, byte for byte', async (verdict) => {
    await using server = await FaultServer.start({ play: plays() });
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    expect(await trainerAt(server.url).learn(example(verdict, body), NEVER)).toEqual({
      kind: 'learned',
    });
    const request = theRequest(server);
    expect([request.method, request.path]).toEqual(['POST', `/learn${verdict}`]);
    expect(request.body.equals(body)).toBe(true);
  });

  test('carries the headers that it needs and no others', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await learn(trainerAt(server.url));
    const plain = {
      host: server.url.replace('http://', ''),
      'user-agent': 'kopano-learnd',
      'content-length': String(MESSAGE.length),
      connection: expect.any(String) as string,
    };
    expect(theRequest(server).headers).toEqual({ ...plain, 'learn-type': 'bulk' });
    // A password is sent as the bytes that it has in UTF-8.
    const password = Secret.ofValue('pässwörd');
    await learn(trainerAt(server.url, { password, bulk: false }));
    const bytes = Buffer.from('pässwörd').toString('latin1');
    expect(server.requests[1]?.headers).toEqual({ ...plain, password: bytes });
  });

  test('the second of the same message is a duplicate, the other verdict is learned', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const trainer = trainerAt(server.url);
    const kinds: string[] = [];
    for (const verdict of ['spam', 'spam', 'ham', 'ham', 'spam'] as const) {
      kinds.push((await trainer.learn(example(verdict, MESSAGE), NEVER)).kind);
    }
    expect(kinds).toEqual(['learned', 'duplicate', 'learned', 'duplicate', 'learned']);
  });
});

describe('/ping is asked', () => {
  const isPing = ({ path }: FaultRequest): boolean => path === '/ping';

  test('before a post that comes 250 ms after the last answer: rspamd may be another one', async () => {
    await using server = await FaultServer.start({ play: plays(), playsPing: true });
    let now = 0;
    const trainer = trainerAt(server.url, { clock: { ...systemClock, monotonic: () => now } });
    for (const at of [0, 249, 499]) {
      now = at;
      await learn(trainer);
    }
    expect(paths(server)).toEqual(['/ping', '/learnspam', '/learnspam', '/ping', '/learnspam']);
  });

  test.each([
    ['without an answer', CLOSES, ['/learnspam', '/ping', '/learnspam']],
    ['that failed with an answer, not', failure(500, 'odd'), ['/learnspam', '/learnspam']],
  ])('after a post %s', async (_what, act, expected) => {
    await using server = await FaultServer.start({
      play: plays({ when: ({ method }) => method === 'POST', act, times: 1 }),
      playsPing: true,
    });
    const trainer = trainerAt(server.url, { clock: STILL });
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
    const reason = 'no answer to /ping (ECONNRESET)';
    expect(await learn(trainer)).toEqual({ kind: 'unavailable', reason, contact: 'none' });
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
});

describe('the controller', () => {
  test.each(['/rspamd', '/a/b/'])('may lie behind a path prefix: %s', async (prefix) => {
    await using server = await FaultServer.start({ play: plays() });
    const trainer = trainerAt(server.url + prefix);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await trainer.statistics(NEVER)).toMatchObject({ hasBackend: true });
    const base = prefix.replace(/\/$/, '');
    expect(paths(server)).toEqual([`${base}/learnspam`, `${base}/stat`]);
  });

  test('may be a Unix socket', async () => {
    const socketPath = join(temporaryFolder(), 'controller.sock');
    await using server = await FaultServer.start({ play: plays(), socketPath });
    const trainer = trainerAt(server.url);
    expect(trainer.name).toBe(`unix:${socketPath}`);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await trainer.time(NEVER)).toBeDefined();
  });
});

describe('over TLS', () => {
  let certificate: Certificate;

  beforeAll(() => {
    certificate = makeCertificate();
  });

  test('the controller is trusted by RSPAMD_CA_FILE, for posts and for questions', async () => {
    await using server = await FaultServer.start({ play: plays(), tls: certificate });
    const trainer = trainerAt(server.url, { ca: certificate.cert });
    expect(server.url).toMatch(/^https:/);
    expect(await learn(trainer)).toEqual({ kind: 'learned' });
    expect(await trainer.time(NEVER)).toBeDefined();
  });

  test('who can’t be trusted is misconfigured, and gets neither mail nor password', async () => {
    const other = makeCertificate('DNS:elsewhere.example');
    const password = Secret.ofValue('hunter2');
    for (const [tls, ca, hint] of [
      [certificate, undefined, /RSPAMD_CA_FILE/],
      [other, other.cert, /a name in RSPAMD_URL/],
    ] as const) {
      await using server = await FaultServer.start({ play: plays(), tls });
      expect(await learn(trainerAt(server.url, { password, ca }))).toMatchObject({
        kind: 'misconfigured',
        password: false,
        hint: expect.stringMatching(hint) as string,
      });
      expect(server.requests).toEqual([]);
    }
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

test.each([301, 302, 303, 307, 308])(
  'a redirect %i is not followed: neither mail nor password leave for the other host',
  async (status) => {
    await using other = await FaultServer.start({ play: plays() });
    const headers = [`Location: ${other.url}/learnspam`];
    await using server = await FaultServer.start({
      play: always(answer(`${status} Moved`, '', { headers })),
      playsPing: true,
    });
    const trainer = trainerAt(server.url, { password: Secret.ofValue('hunter2') });
    expect(await learn(trainer)).toMatchObject({ kind: 'misconfigured', password: false });
    expect(await trainer.statistics(NEVER)).toBeUndefined();
    expect(await trainer.time(NEVER)).toBeUndefined();
    expect(other.connections).toBe(0);
  },
);

describe('a password in a file', () => {
  test('is sent as it was read, and anew once it is read again', async () => {
    const file = join(temporaryFolder(), 'password');
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
    const sent = server.requests.map(({ headers }) => headers['password']);
    expect(sent).toEqual(['first', 'first', 'second']);
  });

  test('that is gone or empty for a moment stays the one that it was', () => {
    const file = join(temporaryFolder(), 'replaced');
    writeFileSync(file, 'first');
    const password = Secret.ofFile(file);
    writeFileSync(file, '');
    expect(password.refresh()).toBe(false);
    rmSync(file);
    expect(password.refresh()).toBe(false);
    expect(password.header()).toBe('first');
  });
});

test.each(['hunter2-and-more', 'pässwört-ünd-mehr', '.*+?^${}()|[]\\'])(
  'a password that the server repeats never gets into a reason: %s',
  async (value) => {
    const password = Secret.ofValue(value);
    const bytes = Buffer.from(value, 'utf8').toString('latin1');
    // the last repetition lies where the reason is cut
    for (const text of [`your ${bytes} is wrong`, `${'x'.repeat(145)} ${bytes}`]) {
      await using server = await FaultServer.start({ play: always(failure(500, text)) });
      const told = JSON.stringify(await learn(trainerAt(server.url, { password })));
      for (const form of [value, bytes]) {
        for (const part of [form.slice(0, 6), form.slice(-6)]) expect(told).not.toContain(part);
      }
      expect(told).toContain('500');
    }
  },
);

describe('every connection is closed by us', () => {
  test.each<[string, Act]>([
    ['learned', { ...SUCCESS, then: 'stay' }],
    ['an endless body', flood('500 Endless', 600)],
    ['an endless drip', drip(failure(500, 'x'.repeat(1000)), 20)],
    ['half an answer, kept open', { ...cut(failure(500, 'odd'), 'Content'), then: 'stay' }],
    ['silence', SILENCE],
    ['an interim answer', raw('HTTP/1.1 101 Switching Protocols\r\n\r\n', 'stay')],
    ['an upgrade', raw('HTTP/1.1 101 Odd\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\n', 'stay')],
    ['more than the length', raw(`HTTP/1.1 500 Odd\r\nContent-Length: 1\r\n\r\nxyz`, 'stay')],
  ])('after %s', async (_, act) => {
    await using server = await FaultServer.start({ play: always(act) });
    await learn(trainerAt(server.url, { timeoutMs: 150 }));
    await until(() => server.connected === 0);
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ['a post', '500 Endless', learn],
    ['a question', '200 Endless', (trainer: RspamdTrainer) => trainer.statistics(NEVER)],
  ] as const)(
    'and of an endless answer to %s no more is read than needed',
    async (...[, status, ask]) => {
      await using server = await FaultServer.start({ play: always(flood(status, 600)) });
      await ask(trainerAt(server.url));
      await until(() => server.connected === 0);
      expect(server.bytesSent).toBeLessThan(32 << 20); // what the kernel's buffers hold
    },
  );
});

describe('an abort', () => {
  test.each([
    ['a post', false],
    ['the question before it', true],
  ])('ends %s, and its connection', async (_, playsPing) => {
    await using server = await FaultServer.start({ play: always(SILENCE), playsPing });
    const abort = new AbortController();
    const outcome = trainerAt(server.url).learn(example('spam', MESSAGE), abort.signal);
    await until(() => server.open === 1);
    abort.abort();
    expect(await outcome).toEqual({ kind: 'aborted' });
    await until(() => server.connected === 0);
  });

  test('before the post sends nothing', async () => {
    await using server = await FaultServer.start({ play: plays() });
    const trainer = trainerAt(server.url, { clock: STILL });
    await learn(trainer);
    const outcome = await trainer.learn(example('spam', MESSAGE), AbortSignal.abort());
    expect(outcome).toEqual({ kind: 'aborted' });
    expect(server.requests).toHaveLength(1);
  });

  test('leaves no listener behind, whatever came before', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: ({ method }) => method === 'POST', act: CLOSES, times: 1 }),
    });
    const abort = new AbortController();
    const trainer = trainerAt(server.url);
    for (let count = 0; count < 3; count += 1)
      await trainer.learn(example('spam', MESSAGE), abort.signal);
    await trainer.statistics(abort.signal);
    await until(() => server.connected === 0);
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
  });
});

describe('statistics', () => {
  async function statisticsFrom(act: Act): Promise<unknown> {
    await using server = await FaultServer.start({ play: always(act) });
    const options = act === SILENCE ? { timeoutMs: 150 } : {};
    const told = await trainerAt(server.url, options).statistics(NEVER);
    expect(server.requests).toHaveLength(1); // it isn't for the trainer to ask again
    return told;
  }
  const stat = (text: string): Act => answer('200 OK', text);
  const statfiles = (...each: readonly object[]): Act => stat(JSON.stringify({ statfiles: each }));
  const spam = { symbol: 'BAYES_SPAM', revision: 3, users: 2 };
  const ham = { symbol: 'BAYES_HAM', revision: 0, users: 1 };
  const unknown = { hasBackend: true, learned: { spam: undefined, ham: undefined } };

  test.each<[string, Act, object]>([
    [
      'what each class has learned',
      statistics(212, 207, 31),
      { hasBackend: true, learned: { spam: 212, ham: 207 }, uptimeSeconds: 31, version: '3.4' },
    ],
    [
      'the sum of several memories',
      statfiles(spam, spam, ham),
      { learned: { spam: 6, ham: 0 }, users: 2 },
    ],
    [
      'that the classes have names',
      statfiles({ ...ham, class: 'ham', classifier: { name: 'bayes', type: 'multi-class' } }),
      { learned: { ham: 0 }, hasNamedClasses: true },
    ],
    [
      'how many learns were acknowledged',
      stat('{"learned":140,"statfiles":[{}]}'),
      { learns: 140 },
    ],
    ['that there is no backend', statfiles(), { hasBackend: false }],
    ['that the backend is away, as 3.4 does', statfiles({}, {}), unknown],
    ['nothing of what is no statfile', stat('{"statfiles":[null,7,"x",[]]}'), unknown],
    ['nothing of what is no number', statfiles({ ...spam, revision: '7' }), unknown],
  ])('show %s', async (_, act, expected) => {
    expect(await statisticsFrom(act)).toMatchObject(expected);
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
    ['statfiles that are no list', stat('{"statfiles":{"length":2}}')],
  ])('are unknown after %s', async (_, act) => expect(await statisticsFrom(act)).toBeUndefined());

  test('are asked for with the password and without Learn-Type', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await trainerAt(server.url, { password: Secret.ofValue('hunter2') }).statistics(NEVER);
    const { method, headers } = theRequest(server);
    expect([method, headers['password']]).toEqual(['GET', 'hunter2']);
    expect(headers).not.toHaveProperty('learn-type');
    expect(headers).not.toHaveProperty('accept-encoding');
  });
});

test.each([
  ['the Date of its answer', 'Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n', 1_700_000_000_000],
  ['unknown without a Date', '', undefined],
  ['unknown by a Date that is none', 'Date: soon\r\n', undefined],
])('the clock of the controller is %s', async (_, date, expected) => {
  const act = raw(`HTTP/1.1 200 OK\r\n${date}Content-Length: 0\r\n\r\n`);
  await using server = await FaultServer.start({ play: always(act), playsPing: true });
  expect(await trainerAt(server.url).time(NEVER)).toBe(expected);
  expect(theRequest(server).path).toBe('/ping');
});
