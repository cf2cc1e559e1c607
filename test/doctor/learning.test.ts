import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/servers/ports.ts';
import type { ControllerReport, DaemonReport } from '../../src/status/reports.ts';
import { FaultServer } from '../faults/fault-server.ts';
import { examine } from '../support/examine.ts';
import type { Examination } from '../support/examine.ts';

/** What only learning shows, as the running daemon says it at STATUS_LISTEN. */

const URL = 'http://127.0.0.1:9';

async function seeWith(body: string, status = '200 OK'): Promise<Examination> {
  await using server = await FaultServer.start({
    play: () => ({
      pieces: [
        `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      ],
      then: 'end',
    }),
  });
  const STATUS_LISTEN = server.url.replace('http://', '');
  const seen = await examine({ KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: URL, STATUS_LISTEN });
  expect(server.requests.map(({ path }) => path)).toEqual(['/status']);
  return seen;
}

const CONTROLLER: ControllerReport = {
  name: URL,
  state: 'up',
  reason: null,
  ready: true,
  obstacle: null,
  proven: false,
  lastProofAt: null,
  forgot: null,
  bayes: { spam: 300, ham: 300 },
};

const NOTHING_ENDED = {
  learned: 0,
  duplicate: 0,
  refused: 0,
  quarantined: 0,
  superseded: 0,
  withdrawn: 0,
};

function daemonSays(
  controller: Partial<ControllerReport>,
  bugs: DaemonReport['bugs'] = { count: 0, last: null },
): Promise<Examination> {
  const report: DaemonReport = {
    version: '0.1.0',
    startedAt: '2026-11-23T10:00:00.000Z',
    spool: '/nowhere',
    stateDir: '/nowhere/.learnd',
    role: 'owner',
    health: { healthy: true, role: 'owner', reasons: [] },
    readiness: { ready: true, reasons: [] },
    messages: { spam: NOTHING_ENDED, ham: NOTHING_ENDED },
    waiting: null,
    deferred: 0,
    inFlight: 0,
    controllers: [{ ...CONTROLLER, ...controller }],
    bugs,
  };
  return seeWith(JSON.stringify(report));
}

async function proof(seen: Promise<Examination>): Promise<string> {
  const [line, ...more] = (await seen).of('proof');
  expect(more).toEqual([]);
  return `${line?.state ?? ''}: ${line?.text ?? ''}`;
}

describe('of the proof the doctor says', () => {
  test('a 200 that does not prove', async () => {
    const said = await proof(daemonSays({ state: 'unproven', reason: 'x', proven: true }));
    expect(said).toMatch(/^failed: .*answers 200.*remembers nothing.*Cure: .*Redis.*count = 1/);
  });

  test.each(['down', 'misconfigured'] as const)('a controller that is %s', async (state) => {
    const said = await proof(daemonSays({ state, reason: '500 OOM\u001b', proven: true }));
    expect(said).toMatch(/^failed: .*says the running daemon: 500 OOM\?\. Cure: /);
  });

  test('a memory that was lost', async () => {
    const said = await proof(
      daemonSays({ state: 'up', proven: true, forgot: { missing: 300, at: 'T' } }),
    );
    expect(said).toMatch(/^warning: .*forgotten 300 learned messages.*Cure: .*persistence/);
  });

  test('that all is well', async () => {
    expect(await proof(daemonSays({ state: 'up', proven: true }))).toMatch(/^ok: /);
  });

  test('nothing when nothing was learned yet', async () => {
    const said = await proof(daemonSays({ state: 'starting', proven: false }));
    expect(said).toMatch(/^not tried: nothing was learned/);
  });

  test('nothing when the daemon has another controller', async () => {
    const other = daemonSays({ name: 'http://other', proven: true });
    expect(await proof(other)).toMatch(/^not tried: .*another RSPAMD_URL/);
  });

  test.each(['<html>', '{}', '[]', 'null', '{"controllers":7}'])(
    'nothing when something else answers: %s',
    async (body) => {
      expect(await proof(seeWith(body))).toMatch(/^not tried: .*is not kopano-learnd/);
    },
  );

  test('nothing when no daemon runs, or none is to be asked', async () => {
    const server = await FaultServer.start({
      play: () => ({ pieces: [], then: 'end' }),
      playsPing: true,
    });
    onTestFinished(() => server[Symbol.asyncDispose]());
    const settings = { KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: URL };
    const STATUS_LISTEN = server.url.replace('http://', '');
    expect(await proof(examine({ ...settings, STATUS_LISTEN }))).toMatch(
      /^not tried: .*none answers/,
    );
    expect(await proof(examine(settings))).toMatch(/^not tried: .*STATUS_LISTEN is off/);
  });
});

test('the processes of a controller are counted where it runs on this machine, and nowhere else', async () => {
  const port = await freePort();
  for (let i = 0; i < 2; i += 1) {
    // rspamd's way to say what a process of it does
    const argv0 = `rspamd: controller process (127.0.0.1:${port})`;
    const double = spawn('sleep', ['600'], { argv0, stdio: 'ignore' });
    onTestFinished(() => void double.kill('SIGKILL'));
    await once(double, 'spawn');
  }
  const hosts = ['127.0.0.1', 'localhost', 'controller.invalid', '192.0.2.1'];
  const urls = hosts.map((host) => `http://${host}:${port}`);
  const seen = await examine({
    KOPANO_SPAMD_LIB: '/nowhere',
    RSPAMD_URL: urls.join(','),
    RSPAMD_TIMEOUT_SECONDS: '0.5',
  });
  expect(seen.of('count').map(({ state }) => state)).toEqual([
    'warning',
    'warning',
    'not tried',
    'not tried',
  ]);
});

describe('errors of the program itself', () => {
  test('that the running daemon has met are a warning that says what to do', async () => {
    const last = {
      where: 'the dispatcher\u001b[31m',
      error: 'TypeError: x is not a function',
      at: '2026-11-25T10:00:00.000Z',
    };
    const seen = await daemonSays({}, { count: 3, last });
    expect(seen.of('bugs')).toMatchObject([
      {
        state: 'warning',
        text: expect.stringMatching(
          /3 errors of its own.*10:00:00.*\(the dispatcher\?\[31m\): TypeError: x is not a function\. Cure: report it/,
        ) as string,
      },
    ]);
  });

  test('that it has not met are fine, and unknown without a daemon', async () => {
    expect((await daemonSays({})).of('bugs')).toMatchObject([{ state: 'ok' }]);
    expect((await seeWith('no JSON')).of('bugs')).toMatchObject([{ state: 'not tried' }]);
  });
});
