import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/servers/ports.ts';
import type { ControllerReport, DaemonReport } from '../../src/status/reports.ts';
import { FaultServer } from '../faults/fault-server.ts';
import { always, answer } from '../faults/plays.ts';
import { examine } from '../support/examine.ts';
import type { Examination } from '../support/examine.ts';
import { StatusBench } from '../support/status-bench.ts';

/** What only learning shows, as the running daemon says it at STATUS_LISTEN. */

const URL = 'http://127.0.0.1:9';

async function seeWith(body: string): Promise<Examination> {
  await using server = await FaultServer.start({ play: always(answer('200 OK', body)) });
  const STATUS_LISTEN = server.url.replace('http://', '');
  const seen = await examine({ KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: URL, STATUS_LISTEN });
  expect(server.requests.map(({ path }) => path)).toEqual(['/status']);
  return seen;
}

/** A daemon that says so of its one controller, and of its bugs. */
async function daemonSays(
  controller: Partial<ControllerReport>,
  bugs: DaemonReport['bugs'] = { count: 0, last: null },
): Promise<Examination> {
  const report = await new StatusBench().reporter.status();
  const controllers = report.controllers.map((each) => ({ ...each, name: URL, ...controller }));
  return seeWith(JSON.stringify({ ...report, controllers, bugs }));
}

async function proof(seen: Promise<Examination>): Promise<string> {
  const [line, ...more] = (await seen).of('proof');
  expect(more).toEqual([]);
  return `${line?.state ?? ''}: ${line?.text ?? ''}`;
}

describe('of the proof the doctor says', () => {
  test.each<[string, Partial<ControllerReport>, RegExp]>([
    [
      'a 200 that does not prove',
      { state: 'unproven', reason: 'x', proven: true },
      /^failed: .*answers 200.*remembers nothing.*Cure: .*Redis.*count = 1/,
    ],
    [
      'a controller that is down',
      { state: 'down', reason: '500 OOM\u001b', proven: true },
      /^failed: .*says the running daemon: 500 OOM\?\. Cure: /,
    ],
    [
      'a memory that was lost',
      { state: 'up', proven: true, forgot: { missing: 300, at: 'T' } },
      /^warning: .*forgotten 300 learned messages.*Cure: .*persistence/,
    ],
    ['that all is well', { state: 'up', proven: true }, /^ok: /],
    ['nothing when nothing was learned yet', { proven: false }, /^not tried: nothing was learned/],
    [
      'nothing when the daemon has another controller',
      { name: 'http://other', proven: true },
      /^not tried: .*another RSPAMD_URL/,
    ],
  ])('%s', async (_, controller, says) => {
    expect(await proof(daemonSays(controller))).toMatch(says);
  });

  test('nothing when something else answers, nobody does, or none is to be asked', async () => {
    for (const body of ['<html>', '[]', 'null']) {
      expect(await proof(seeWith(body))).toMatch(/^not tried: .*is not kopano-learnd/);
    }
    const settings = { KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: URL };
    expect(await proof(examine({ ...settings, STATUS_LISTEN: '127.0.0.1:9' }))).toMatch(
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
  const states = seen.of('count').map(({ state }) => state);
  expect(states).toEqual(['warning', 'warning', 'not tried', 'not tried']);
});

test('errors of the program that the running daemon has met are told with what to do', async () => {
  const last = {
    where: 'the dispatcher\u001b[31m',
    error: 'TypeError: x is not a function',
    at: '2026-11-25T10:00:00.000Z',
  };
  const [line] = (await daemonSays({}, { count: 3, last })).of('bugs');
  expect(line?.state).toBe('warning');
  expect(line?.text).toMatch(
    /3 errors of its own.*10:00:00.*\(the dispatcher\?\[31m\): TypeError: x is not a function\. Cure: report it/,
  );
  expect((await daemonSays({})).of('bugs')).toMatchObject([{ state: 'ok' }]);
});
