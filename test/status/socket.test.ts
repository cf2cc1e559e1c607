import { createServer } from 'node:net';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { StatusSocket } from '../../src/status/socket.ts';
import { runCli } from '../support/run-cli.ts';
import { StatusBench } from '../support/status-bench.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { until } from '../support/until.ts';

/** The socket in the state dir, by which the owner is found without a port. */

function socketOf(bench: StatusBench): StatusSocket {
  return new StatusSocket(bench.reporter, bench.bugs);
}

async function askedOf(bench: StatusBench): Promise<unknown> {
  const environment = { KOPANO_SPAMD_LIB: bench.spool.lib, STATUS_LISTEN: 'off' };
  const { out } = await runCli(['status', '--json'], environment);
  return (JSON.parse(out) as { readonly daemon: { readonly kind: string } }).daemon.kind;
}

test('with STATUS_LISTEN=off status finds the owner, and shows what that one knows of rspamd', async () => {
  const bench = new StatusBench();
  const socket = socketOf(bench);
  socket.start(bench.spool.stateDir.root);
  const { out } = await runCli(['status'], {
    KOPANO_SPAMD_LIB: bench.spool.lib,
    STATUS_LISTEN: 'off',
    RSPAMD_URL: 'http://127.0.0.1:9',
  });
  expect(out).toMatch(/^daemon: owns the spool, ready/m);
  expect(out).toMatch(/^rspamd at http:\/\/one:11334: reachable$/m);
  await socket.stop();
  expect(await askedOf(bench)).toBe('unknown');
});

test('the socket of one that was killed does not stand in the way, nor what else has its name', async () => {
  const bench = new StatusBench();
  const place = join(bench.spool.stateDir.root.path, 'status.sock');
  const killed = createServer();
  await new Promise<void>((resolve) => killed.listen(place, resolve));
  const socket = socketOf(bench);
  socket.start(bench.spool.stateDir.root);
  expect(await askedOf(bench)).toBe('running');
  await socket.stop();
  killed.close();
  mkdirSync(place);
  socketOf(bench).start(bench.spool.stateDir.root);
  expect(await askedOf(bench)).toBe('unknown');
  expect(bench.bugs.seen.count).toBe(0);
});

test('it works in a folder whose path is too long for a socket, and is the owner’s alone', async () => {
  const long = join(temporaryFolder(), 'x'.repeat(200));
  mkdirSync(long, { mode: 0o700 });
  const folder = Folder.open(long);
  const bench = new StatusBench();
  const socket = socketOf(bench);
  socket.start(folder);
  const place = `${long}/status.sock`;
  await until('it listens', () => existsSync(place) && statSync(place).isSocket());
  await socket.stop();
  expect(existsSync(place)).toBe(false);
  folder.close();
});
