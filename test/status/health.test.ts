import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePorts } from '../../src/servers/ports.ts';
import { listening } from '../support/listening.ts';
import { runCli, start } from '../support/run-cli.ts';
import type { Result } from '../support/run-cli.ts';
import { StatusBench } from '../support/status-bench.ts';

/** `kopano-learnd health` as a process, against a daemon that does as the test says. */

function health(listen: string, environment: Record<string, string> = {}): Promise<Result> {
  return runCli(['health'], { STATUS_LISTEN: listen, ...environment });
}

/** A server that answers every connection with these bytes, or never. */
function answering(bytes: string | undefined): Promise<string> {
  const sockets = new Set<Socket>();
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listening(
    createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      if (bytes !== undefined) socket.once('data', () => socket.end(bytes));
    }),
  );
}

describe('a healthy daemon', () => {
  test.each([
    ['owns its spool', { pending: 0, deferred: 0, inFlight: 0 }],
    ['stands by', undefined],
  ] as const)('is told in one line with exit 0: %s', async (says, counts) => {
    const bench = await StatusBench.start();
    bench.counts = counts;
    expect(await health(bench.address)).toEqual({
      code: 0,
      out: `healthy: ${says}\n`,
      err: '',
    });
  });

  test('is told by the installed program, which takes a short way to this command', async () => {
    const bench = await StatusBench.start();
    const listen = bench.address;
    const told = { code: 0, out: 'healthy: owns its spool\n', err: '' };
    expect(await start(['health'], { STATUS_LISTEN: listen })).toEqual(told);
    const off = await start(['health'], { STATUS_LISTEN: 'off' });
    expect(off).toMatchObject({ code: 78, out: '' });
    expect(off.err).toMatch(/^kopano-learnd: STATUS_LISTEN is off: .*\ncure: /);
  });

  test('that listens everywhere is asked on loopback, whatever the other settings', async () => {
    const bench = await StatusBench.start();
    const wrong = { RSPAMD_URL: 'nonsense', RSPAMD_PASSWORD_FILE: '/nowhere' };
    const result = await health(`0.0.0.0:${bench.status.port ?? 0}`, wrong);
    expect(result).toMatchObject({ code: 0, err: '' });
  });
});

describe('a daemon that is not healthy', () => {
  const OK = 'HTTP/1.1 200 OK\r\nConnection: close\r\n';

  test('because something stands still, is told with the reason', async () => {
    const bench = await StatusBench.start();
    bench.stalls = [{ what: 'pickup', ms: 45_000 }];
    const says = 'not healthy: pickup has stood still for 45 s\n';
    const asked = await health(bench.address);
    expect(asked).toEqual({ code: 1, out: says, err: '' });
  });

  test('because it does not run', async () => {
    const [port = 0] = await freePorts(1);
    const { code, out, err } = await health(`127.0.0.1:${port}`);
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(out).toBe(`not healthy: none answers at 127.0.0.1:${port} (nobody listens there)\n`);
  });

  test('because it accepts and never answers', async () => {
    const { code, out } = await health(await answering(undefined));
    expect(code).toBe(1);
    expect(out).toMatch(/no answer within 4 s\)\n$/);
  });

  test.each([
    ['closes the connection', '', 'it closed the connection'],
    ['speaks something else', 'SSH-2.0-OpenSSH_9.2\r\n', 'is not kopano-learnd'],
    ['answers half', `${OK}Content-Length: 100\r\n\r\n{"healthy":true`, 'it closed the connection'],
    ['answers with other JSON', `${OK}\r\n{"healthy":"yes"}`, 'is not kopano-learnd'],
    ['answers with nothing', `${OK}\r\nnull`, 'is not kopano-learnd'],
    ['answers with a page', `${OK}\r\n<html>healthy</html>`, 'is not kopano-learnd'],
  ])('because what is there %s', async (_, bytes, says) => {
    const { code, out, err } = await health(await answering(bytes));
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(out).toMatch(/^not healthy: .+\n$/);
    expect(out).toContain(says);
  });
});

test('a wrong STATUS_LISTEN is told with its form, exit 78', async () => {
  const { code, err } = await health('everywhere');
  expect(code).toBe(78);
  expect(err).toContain(
    "STATUS_LISTEN must be HOST:PORT, [IPV6]:PORT or off, not 'everywhere'\ncure: ",
  );
});
