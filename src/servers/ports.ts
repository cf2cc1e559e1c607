/**
 * Free ports on the loopback address, as the kernel hands them out. Nothing reserves them: servers are
 * started right away, and the kernel doesn't hand out the same ephemeral port again so soon.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** The address that every private server listens on: never anything but loopback. */
export const LOOPBACK = '127.0.0.1';

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

/** As many different free ports; all are held open until the last is known, so none occurs twice. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, LOOPBACK));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
