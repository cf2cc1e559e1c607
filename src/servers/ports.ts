/**
 * Free ports on the loopback address. They lie below those that the kernel hands out (32768 and above
 * on Linux), so that no connection of anybody takes one before its server listens; two who draw the
 * same one at the same moment are left to {@link isTaken}.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { randomInt } from 'node:crypto';

/** The address that every private server listens on: never anything but loopback. */
export const LOOPBACK = '127.0.0.1';

const LOWEST = 15_000;
const END = 32_768;

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

/** As many different ports that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(LOWEST, END);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** Whether a server says in what it printed that another one has its port. */
export function isTaken(output: string): boolean {
  return /address already in use/i.test(output);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, LOOPBACK);
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
