import { chmodSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { doctor } from '../../src/doctor/command.ts';
import { loadConfig } from '../../src/config.ts';
import { makeCertificate } from '../faults/certificate.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act, FaultServerOptions, Play } from '../faults/fault-server.ts';
import { CLOSES, SILENCE, answer, failure, raw } from '../faults/plays.ts';
import { examine, nobody } from '../support/examine.ts';
import type { Examination } from '../support/examine.ts';
import { ROOT } from '../support/needs.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** Controllers that answer with the bytes that real ones were seen to send, and some that aren't one. */

/** What /stat says of these counts, and of more. */
function stat(spam = 300, ham = 300, more = {}): Act {
  const statfiles = Object.entries({ BAYES_SPAM: spam, BAYES_HAM: ham });
  const shown = statfiles.map(([symbol, revision]) => ({ symbol, revision }));
  return answer('200 OK', JSON.stringify({ uptime: 100, statfiles: shown, ...more }));
}

const EMPTY = failure(400, 'Empty body is not permitted');

/** A controller that is content, but for what `change` says of some pages. */
function play(change: Readonly<Record<string, Act>> = {}): Play {
  const acts: Readonly<Record<string, Act>> = {
    '/ping': answer('200 OK', 'pong\r\n'),
    '/stat': stat(),
    '/learnspam': EMPTY,
    '/history?from=1&to=0': answer('200 OK', '{"version":2,"rows":[]}'),
    ...change,
  };
  return ({ path }) => acts[path] ?? answer('404 Not found');
}

async function serve(options: FaultServerOptions): Promise<FaultServer> {
  const server = await FaultServer.start({ ...options, playsPing: true });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

function see(url: string, settings: Record<string, string> = {}): Promise<Examination> {
  return examine({ KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: url, ...settings });
}

function fileWith(content: string): string {
  const file = `${temporaryFolder()}/ca.pem`;
  writeFileSync(file, content);
  return file;
}

async function fault(url: string, settings = {}): Promise<string> {
  const seen = await see(url, settings);
  const faults = seen.of(url).filter(({ state }) => state === 'failed');
  expect(faults).toHaveLength(1);
  expect(seen.code).toBe(1);
  return faults[0]?.text ?? '';
}

test('a controller that is content has no fault, and was asked to learn nothing', async () => {
  const server = await serve({ play: play() });
  const seen = await see(server.url, { RSPAMD_PASSWORD: 'sesame' });
  expect(seen.of(server.url).map(({ state }) => state)).toEqual(['ok', 'ok', 'ok', 'ok']);
  expect(server.posts.map(({ path, body }) => [path, body.length])).toEqual([['/learnspam', 0]]);
});

describe('the doctor finds', () => {
  test.each([
    ['http://controller.invalid:11334', /its host name is not found.*Cure: .*DNS/],
    ['http://127.0.0.1:9', /nobody listens.*Cure: start rspamd.*bind_socket/],
    ['unix:/nowhere/controller.sock', /nobody listens.*\(ENOENT\).*Cure: .*bind_socket/],
  ])('that nobody is at %s', async (url, says) => expect(await fault(url)).toMatch(says));

  test('a socket that is forbidden', ROOT, async () => {
    const socketPath = `${temporaryFolder()}/controller.sock`;
    await serve({ play: play(), socketPath });
    chmodSync(socketPath, 0o600);
    const url = `unix:${socketPath}`;
    const seen = await examine({ KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: url }, nobody);
    expect(seen.of(url)[0]?.text).toMatch(/may not be used \(EACCES\).*Cure: .*mode=0660/);
  });

  test.each<[string, Act, RegExp]>([
    ['is silent', SILENCE, /is silent \(ETIMEDOUT\).*Cure: restart rspamd/],
    ['closes the connection', CLOSES, /closes the connection.*Cure: .*https:.* port is 11334/],
    ['speaks no HTTP', raw('220 mail ESMTP\r\n'), /Cure: .*HTTP server.*RSPAMD_URL/],
    ['is a web server', answer('200 OK', '<html>'), /not rspamd's controller.*Cure: correct host/],
    ['redirects', answer('301 Moved Permanently'), /301.*Cure: .*redirect/],
  ])('what %s', async (_, act, says) => {
    const server = await serve({ play: () => act });
    expect(await fault(server.url, { RSPAMD_TIMEOUT_SECONDS: '0.5' })).toMatch(says);
  });

  test('a certificate that nobody trusts, and the cure helps', async () => {
    const tls = makeCertificate();
    const server = await serve({ play: play(), tls });
    expect(await fault(server.url)).toMatch(/not signed by anybody.*Cure: set RSPAMD_CA_FILE/);
    const cured = await see(server.url, { RSPAMD_CA_FILE: fileWith(tls.cert) });
    expect(cured.of(server.url).map(({ state }) => state)).toEqual(['ok', 'ok', 'ok', 'ok']);
    const plain = await serve({ play: play() });
    expect(await fault(plain.url.replace('http:', 'https:'))).toMatch(
      /does not speak TLS.*Cure: .*use http:/,
    );
  });

  test('an address that is locked out', async () => {
    const locked = answer('429 Too many authentication failures');
    const server = await serve({ play: play({ '/stat': locked, '/learnspam': locked }) });
    const text = await fault(server.url, { RSPAMD_PASSWORD: 'sesame' });
    expect(text).toMatch(/locked this address out.*Cure: .*correct RSPAMD_PASSWORD/);
    // No more wrong passwords than needed.
    expect(server.posts).toEqual([]);
  });

  test('a password in quotes, which a shell would take away', async () => {
    const refused = answer('401 Unauthorized');
    const server = await serve({ play: play({ '/stat': refused, '/learnspam': refused }) });
    const text = await fault(server.url, { RSPAMD_PASSWORD: '"sesame"' });
    expect(text).toMatch(/refuses the password .*Cure: leave out the quotes around the password/);
    expect(text).not.toContain('sesame');
  });

  const proxyAlone = answer('502 Bad Gateway', '<html>');
  const isAlone = /a proxy answers there, and rspamd behind it does not.*Cure: start rspamd/;
  test.each<[string, Readonly<Record<string, Act>>, RegExp]>([
    ['rspamd is down behind its proxy, by /ping', { '/ping': proxyAlone }, isAlone],
    ['rspamd is down behind its proxy, by /stat', { '/stat': proxyAlone }, isAlone],
    ['rspamd is down behind its proxy, by a post', { '/learnspam': proxyAlone }, isAlone],
    [
      'a proxy lets no learning pass',
      { '/learnspam': answer('405 Not Allowed') },
      /405 Not Allowed.*Cure: .*proxy/,
    ],
    [
      'Redis is down, as rspamd 3.4 shows it',
      { '/stat': answer('200 OK', '{"uptime":100,"statfiles":[{},{}]}') },
      /Redis is down.*Cure: start Redis/,
    ],
    [
      'Redis was down when rspamd 3.12 started',
      {
        '/stat': answer('200 OK', '{"uptime":100,"statfiles":[]}'),
        '/history?from=1&to=0': answer('504 {"error": "Connection refused"}'),
      },
      /Redis does not answer .*\(Connection refused\)\. Cure: start Redis/,
    ],
    [
      'Redis is a cluster',
      { '/history?from=1&to=0': answer('504 {"error": "MOVED 15971 127.0.0.1:7002"}') },
      /its Redis is a cluster \(MOVED .*\)\. Cure: a Redis cluster can't hold Bayes/,
    ],
  ])('that %s', async (_, change, says) => {
    const server = await serve({ play: play(change) });
    expect(await fault(server.url)).toMatch(says);
  });

  test.each([
    [2 * 60_000, /2 minutes apart\. Cure: .*NTP/],
    [-3 * 86_400_000, /72 hours apart: nothing is removed from the archive.*Cure: .*NTP/],
  ])('a clock that is %d ms off', async (ms, words) => {
    const date = new Date(Date.now() + ms).toUTCString();
    const ping = `HTTP/1.1 200 OK\r\nConnection: close\r\nDate: ${date}\r\n\r\npong\r\n`;
    const server = await serve({ play: play({ '/ping': raw(ping) }) });
    const seen = await see(server.url);
    const [line] = seen.of(server.url).filter(({ state }) => state === 'warning');
    expect(line?.text).toMatch(words);
  });
});

test.each([
  [300, 'ok', /have learned the same/],
  [305, 'not tried', /almost the same/],
  [330, 'failed', /don't share one Redis.*Cure: give all of them the same servers/],
])('a second controller that has learned %d spam beside 300: %s', async (revision, state, says) => {
  const one = await serve({ play: play() });
  const two = await serve({ play: play({ '/stat': stat(revision) }) });
  const [line] = (await see(`${one.url},${two.url}`)).of('one memory');
  expect(line?.state).toBe(state);
  expect(line?.text).toMatch(says);
});

test('a Bayes that is short of ham is a cold start, with why, and both ways out of it', async () => {
  const server = await serve({ play: play({ '/stat': stat(450, 12) }) });
  const [line] = (await see(server.url)).of(server.url).filter(({ state }) => state === 'warning');
  expect(line?.text).toMatch(
    /450 spam and 12 ham.*188 ham are missing.*only where a message was spam first.*Cure: .*relearn --ham.*autolearn/,
  );
});

test('classes that have names are warned of, and those of the package are not', async () => {
  const statOf = (type: string, key: string) => {
    const classifier = { name: 'bayes', type, per_user: false };
    const statfiles = ['spam', 'ham'].map((each) => ({
      ...{ symbol: `BAYES_${each.toUpperCase()}`, revision: 300, classifier, [key]: each },
    }));
    return answer('200 OK', JSON.stringify({ version: '4.1.5', uptime: 100, statfiles }));
  };
  const warnings: string[] = [];
  for (const type of ['binary', 'multi-class']) {
    const server = await serve({ play: play({ '/stat': statOf(type, 'class') }) });
    const found = (await see(server.url)).of(server.url);
    for (const { state, text } of found)
      if (state !== 'ok') warnings.push(`${type} ${state} ${text}`);
  }
  expect(warnings).toEqual([
    expect.stringMatching(
      /^multi-class warning the classes .* names.*Cure: .*classifier-bayes.conf/,
    ),
  ]);
});

test('what is interrupted is no finding', async () => {
  const stop = new AbortController();
  const hangs = await serve({
    play: () => {
      stop.abort();
      return SILENCE;
    },
  });
  let [out, err] = ['', ''];
  const code = await doctor({
    config: loadConfig({
      KOPANO_SPAMD_LIB: '/nowhere',
      RSPAMD_URL: hangs.url,
      STATUS_LISTEN: 'off',
    }),
    faults: [],
    refusal: undefined,
    environment: {},
    json: false,
    all: false,
    columns: 80,
    identity: nobody,
    stop: stop.signal,
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  expect({ code, err }).toEqual({ code: 1, err: 'interrupted: not everything was tried\n' });
  expect(out).toContain('/nowhere is missing');
  expect(out).not.toContain(hangs.url);
});

test('what a controller says paints no terminal and repeats no password', async () => {
  const says = answer('500 \u001b[31msesame-sesame\u0085');
  const server = await serve({ play: play({ '/stat': says }) });
  const seen = await see(server.url, { RSPAMD_PASSWORD: 'sesame-sesame' });
  const text = JSON.stringify(seen.lines);
  expect(text).toContain('[password]');
  expect(text).not.toMatch(/sesame|\\u001b|\u0085/);
});

describe('of further classes the doctor', () => {
  const settings = { LEARN_CLASSES: 'news' };
  const asked = ({ posts }: FaultServer) =>
    posts.map(({ path, headers, body }) => [path, headers['class'], body.toString()]);

  test('asks for each, by a message with nothing to learn', async () => {
    const server = await serve({
      play: play({
        '/learnclass': answer('204 <undef> contains less tokens than required: 2 < 11'),
      }),
    });
    const seen = await see(server.url, settings);
    expect(seen.of(server.url).map(({ text }) => text)).toContain('learns the class news');
    expect(asked(server)).toEqual([
      ['/learnspam', undefined, ''],
      ['/learnclass', 'news', '\r\n'],
    ]);
  });

  test.each<[string, Act, RegExp]>([
    [
      'that rspamd is too old',
      answer('404 Not found', 'Not found'),
      /learns spam and ham, and no class news .*Cure: update rspamd to 4\.1/,
    ],
    [
      'one that the classifier does not have',
      answer("404 class 'news' is not defined in classifier (any)"),
      /has no class news .*Cure: define news in the classifier/,
    ],
  ])('finds %s', async (_, act, says) => {
    const server = await serve({ play: play({ '/learnclass': act }) });
    expect(await fault(server.url, settings)).toMatch(says);
  });
});

describe('of a fuzzy storage the doctor', () => {
  const settings = { RSPAMD_FUZZY_FLAGS: 'spam:11,ham:13' };
  const NO_CONTENT = failure(404, 'No content to generate fuzzy for flag 11');
  const FUZZY = stat(300, 300, { fuzzy_hashes: { local: 1 } });

  test('asks for each flag, by a message with nothing to delete', async () => {
    const server = await serve({ play: play({ '/fuzzydel': NO_CONTENT, '/stat': FUZZY }) });
    const seen = await see(server.url, settings);
    expect(seen.of(server.url).at(-2)?.text).toBe(
      'its fuzzy storage has a list with flag 11 and 13',
    );
    const asked = server.posts.filter(({ path }) => path === '/fuzzydel');
    expect(asked.map(({ headers }) => headers['flag'])).toEqual(['11', '13']);
    for (const { body } of asked) expect(body.toString()).toBe('\r\n');
  });

  test.each<[string, Readonly<Record<string, Act>>, RegExp]>([
    [
      'a flag that no rule has',
      {
        '/fuzzydel': failure(404, 'No fuzzy rules matched for flag 11'),
        '/stat': FUZZY,
      },
      /takes no hash for flag 11 .*Cure: give a rule .* the flag 11 in its fuzzy_map/,
    ],
    [
      'that the module is off',
      { '/fuzzydel': failure(500, 'Module disabled') },
      /Module disabled.*Cure: rspamd's module fuzzy_check is off/,
    ],
    [
      'that nobody answers',
      { '/fuzzydel': NO_CONTENT, '/stat': stat(300, 300, { version: '3.4' }) },
      /its fuzzy storage does not answer. Cure: start rspamd's fuzzy worker/,
    ],
  ])('finds %s', async (_, acts, says) => {
    const server = await serve({ play: play(acts) });
    expect(await fault(server.url, settings)).toMatch(says);
  });

  test('says nothing where none is set, and asks nothing', async () => {
    const server = await serve({ play: play() });
    const seen = await see(server.url);
    expect(JSON.stringify(seen.of(server.url))).not.toContain('fuzzy');
    expect(server.posts.map(({ path }) => path)).toEqual(['/learnspam']);
  });
});
