/**
 * Free ports on the loopback address, as the kernel hands them out.
 *
 * A port is free when it is returned; nothing reserves it. Servers are started right away, and the
 * kernel doesn't hand out the same ephemeral port again so soon.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** The address that every private server listens on: never anything but loopback. */
export const LOOPBACK = '127.0.0.1';

/** A TCP port on {@link LOOPBACK} that nobody listens on. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('the kernel handed out no port');
  return port;
}

/** As many different free ports; all are held open until the last is known, so none occurs twice. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  try {
    return await Promise.all(
      servers.map(async (server) => {
        server.listen(0, LOOPBACK);
        await once(server, 'listening');
        const address = server.address();
        if (address === null || typeof address === 'string') throw new Error('not a TCP server');
        return address.port;
      }),
    );
  } finally {
    for (const server of servers) server.close();
  }
}
