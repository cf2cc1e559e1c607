import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { status } from '../../src/status/command.ts';
import { loadConfig } from '../../src/config.ts';
import { perFilter } from '../../src/filter.ts';
import { freePort } from '../../src/servers/ports.ts';
import type { Overview } from '../../src/status/command.ts';
import { listening } from '../support/listening.ts';
import { call, runCli } from '../support/run-cli.ts';
import { StatusBench } from '../support/status-bench.ts';
import { NOBODY, temporaryFolder } from '../support/temporary.ts';
import { ROOT } from '../support/needs.ts';

/** `kopano-learnd status` as a process. */

// What is asked has two seconds for its answer; a busy machine needs them to load its first HTTP client.
beforeEach(() => {
  vi.spyOn(systemClock, 'after').mockReturnValue({ cancel: () => undefined });
});
afterEach(() => vi.restoreAllMocks());

const FIGURES = {
  uptime: 100,
  statfiles: [
    { symbol: 'BAYES_SPAM', revision: 150 },
    { symbol: 'BAYES_HAM', revision: 230 },
  ],
};

/** An rspamd that shows these statistics. */
async function rspamd(content: object): Promise<string> {
  const server = createServer((request, response) => {
    response.end(request.url === '/ping' ? 'pong\r\n' : JSON.stringify(content));
  });
  return `http://${await listening(server)}`;
}

async function nobody(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}

async function overview(environment: Record<string, string>): Promise<Overview> {
  const { code, out, err } = await runCli(['status', '--json'], environment);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Overview;
}

function everything(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

/** A spool with something everywhere. */
function spool(): string {
  const lib = temporaryFolder();
  for (const place of [
    'spam/a.eml',
    'spam/b.eml',
    'ham/.hidden',
    '.learnd/queue/ham/c.eml',
    '.learnd/quarantine/spam/d.eml',
    '.learnd/quarantine/spam/d.eml.json',
    '.learnd/archive/ham/2026-01-01/e.eml',
    '.learnd/archive/ham/2026-01-02/e.eml',
    '.learnd/release/ham/f.eml',
    '.learnd/release/spam/',
    '.learnd/queue/spam/',
    '.learnd/quarantine/ham/',
    '.learnd/archive/spam/',
  ]) {
    mkdirSync(`${lib}/${place.slice(0, place.lastIndexOf('/'))}`, { recursive: true });
    if (!place.endsWith('/')) writeFileSync(`${lib}/${place}`, 'x');
  }
  return lib;
}

describe('without a daemon', () => {
  test('it counts what lies in the folders, claims nothing of a daemon, and makes nothing', async () => {
    const lib = spool();
    const before = everything(lib);
    const port = await freePort();
    const found = await overview({
      KOPANO_SPAMD_LIB: lib,
      RSPAMD_URL: await rspamd(FIGURES),
      STATUS_LISTEN: `127.0.0.1:${port}`,
    });
    expect(found).toEqual({
      spool: lib,
      stateDir: `${lib}/.learnd`,
      dropped: { spam: 2, ham: 0 },
      queued: { spam: 0, ham: 1 },
      quarantined: { spam: 1, ham: 0 },
      released: { spam: 0, ham: 1 },
      archived: { spam: 0, ham: 2 },
      faults: [],
      daemon: {
        kind: 'unknown',
        reason: `none answers at 127.0.0.1:${port} (nobody listens there)`,
      },
      ...perFilter(() => []),
      rspamd: [
        { name: expect.stringMatching(/^http:/) as string, reachable: true, obstacle: null },
      ],
      bayes: {
        learned: { spam: 150, ham: 230 },
        minLearns: 200,
        missing: { spam: 50, ham: 0 },
      },
    });
    expect(everything(lib)).toEqual(before);
  });

  test('it says the same to people, on stdout', async () => {
    const RSPAMD_URL = await rspamd(FIGURES);
    const { code, out, err } = await runCli(['status'], { KOPANO_SPAMD_LIB: spool(), RSPAMD_URL });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^ {2}dropped +2 +0 +not taken yet$/m);
    expect(out).toMatch(/^ {2}archived +0 +2$/m);
    expect(out).toMatch(/^daemon: STATUS_LISTEN is off/m);
    expect(out).toContain(`rspamd at ${RSPAMD_URL}: reachable\n`);
    expect(out).toContain('bayes, spam: 150 learned, 50 more for min_learns = 200\n');
    expect(out).toContain('bayes, ham: 230 learned, enough for min_learns = 200\n');
  });
});

test('what is stopped tells nothing, and fails', async () => {
  const server = createServer(() => undefined); // it never answers
  onTestFinished(() => server.closeAllConnections());
  const STATUS_LISTEN = await listening(server);
  const RSPAMD_URL = `http://${STATUS_LISTEN}`;
  const config = loadConfig({ KOPANO_SPAMD_LIB: spool(), RSPAMD_URL, STATUS_LISTEN });
  const stop = new AbortController();
  server.once('request', () => stop.abort());
  let out = '';
  const code = await status({
    config,
    json: true,
    columns: 80,
    out: (text) => (out += text),
    stop: stop.signal,
  });
  expect({ code, out }).toEqual({ code: 1, out: '' });
});

describe('a folder', () => {
  test('that is missing is said, once for the whole state dir, and not made', async () => {
    const lib = temporaryFolder();
    mkdirSync(`${lib}/ham`);
    const environment = { KOPANO_SPAMD_LIB: lib, RSPAMD_URL: await nobody() };
    const found = await overview(environment);
    expect(found.dropped).toEqual({ spam: null, ham: 0 });
    expect(found.faults).toEqual([
      { path: `${lib}/spam`, code: 'ENOENT' },
      { path: `${lib}/.learnd`, code: 'ENOENT' },
    ]);
    const { out } = await runCli(['status'], environment);
    expect(out).toMatch(/^ {2}dropped +\? +0 /m);
    // What nothing is known of has no row.
    expect(out).not.toMatch(/^ {2}(queued|quarantined|released|archived) /m);
    expect(out).toContain('  the state dir is not there yet: no daemon has run\n');
    expect(everything(lib)).toEqual(['ham']);
  });

  test.each([
    [['spam', 'ham', '.learnd'], /\n {2}the state dir is empty yet: no daemon has run\n/],
    [
      ['spam', 'ham'],
      /\n\n {2}no message is here\n {2}the state dir is not there yet: no daemon has run\n\n/,
    ],
  ])('that the first start will make is no fault where only %j are there', async (names, says) => {
    const lib = temporaryFolder();
    for (const name of names) mkdirSync(`${lib}/${name}`);
    const environment = { KOPANO_SPAMD_LIB: lib, RSPAMD_URL: await nobody() };
    const { out } = await runCli(['status'], environment);
    expect(out).toMatch(says);
    expect(out).not.toMatch(/missing|\?/);
  });

  test('that may not be read is said with what helps', ROOT, async () => {
    const lib = spool();
    chmodSync(`${lib}/.learnd`, 0o700);
    const environment = { KOPANO_SPAMD_LIB: lib, RSPAMD_URL: await nobody() };
    const user = { uid: NOBODY, gid: NOBODY };
    const { out } = await runCli(['status'], environment, user);
    expect(out).not.toContain('no message is here');
    expect(out.replace(/\n {4}/g, ' ')).toContain(
      `${lib}/.learnd: may not be read (EACCES): run this as root, or as the daemon's user`,
    );
  });
});

describe('the running daemon', () => {
  async function settingsOf(bench: StatusBench): Promise<Record<string, string>> {
    return {
      KOPANO_SPAMD_LIB: bench.spool.lib,
      RSPAMD_URL: await nobody(),
      STATUS_LISTEN: bench.address,
    };
  }

  async function ask(bench: StatusBench, settings: Record<string, string> = {}): Promise<Overview> {
    return overview({ ...(await settingsOf(bench)), ...settings });
  }

  /** The text that people see. */
  async function textOf(bench: StatusBench): Promise<string> {
    return (await runCli(['status'], await settingsOf(bench))).out;
  }

  test('tells what it has learned since its start', async () => {
    const bench = await StatusBench.start();
    bench.messages.superseded('ham', 'a', undefined);
    bench.counts = { pending: 0, deferred: 7, inFlight: 0 };
    const { daemon } = await ask(bench);
    expect(daemon).toMatchObject({ kind: 'running', report: { deferred: 7, role: 'owner' } });
    const out = await textOf(bench);
    expect(out).toMatch(/^daemon: owns the spool, ready, version /m);
    expect(out).toMatch(/^ {2}superseded +0 +1$/m);
    expect(out).toMatch(/^ {2}7 deferred$/m);
  });

  test.each([
    [1_000, true],
    [120_000, false],
  ])('that proved a message %d ms ago says that the count is behind: %s', async (ms, isSaid) => {
    const bench = await StatusBench.start();
    for (const each of bench.controllers) each.lastProofAt = Date.now() - ms;
    const out = await textOf(bench);
    expect(out).toContain('bayes, ham: ');
    expect(
      out.endsWith('\n  what rspamd learned in the last minute may not be counted there yet\n'),
    ).toBe(isSaid);
  });

  test('is told without a row of zeros, and as wide as the terminal', async () => {
    const bench = await StatusBench.start();
    bench.messages.superseded('ham', 'a', undefined);
    const environment = { PATH: process.env['PATH'] ?? '', ...(await settingsOf(bench)) };
    const { out } = await call(['status'], environment, { columns: 60 });
    expect(out).not.toMatch(/ 0 +0\b/);
    expect(out).toMatch(/, for \d+ (s|min|h|days)$/m);
    const long = out.split('\n').filter((line) => line.length > 60 && / \S+ \S/.test(line));
    expect(long).toEqual([]);
  });

  test('is not simply ready while a class folder is missing', async () => {
    const bench = await StatusBench.start();
    rmSync(bench.spool.dropPath('spam'), { recursive: true });
    const out = await textOf(bench);
    expect(out.replace(/\n {4}/g, ' ')).toMatch(
      /^daemon: owns the spool, ready but for the following, .*\n {2}\S+\/spam: missing\n/m,
    );
  });

  test('of another spool or state dir is not taken for this one’s', async () => {
    const bench = await StatusBench.start();
    for (const settings of [
      { KOPANO_SPAMD_LIB: spool(), LEARN_STATE_DIR: bench.spool.stateDir.root.path },
      { LEARN_STATE_DIR: `${spool()}/state` },
    ]) {
      const reason = `the one that runs has another spool or state dir (${bench.spool.lib} and ${bench.spool.stateDir.root.path})`;
      expect((await ask(bench, settings)).daemon).toEqual({ kind: 'unknown', reason });
    }
  });

  test('is not what answers something else', async () => {
    const { host } = new URL(await rspamd({ version: 1 }));
    const { daemon } = await ask(await StatusBench.start(), { STATUS_LISTEN: host });
    const reason = `what answers at ${host} is not kopano-learnd`;
    expect(daemon).toEqual({ kind: 'unknown', reason });
  });
});
