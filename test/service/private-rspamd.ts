/**
 * A private Redis and a private rspamd for release.sh, the controller at its usual port. SIGHUP closes
 * that port, and opens it again at the next one.
 */
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { LOOPBACK } from '../../src/servers/ports.ts';
import { PrivateRedis } from '../../src/servers/private-redis.ts';
import { PrivateRspamd } from '../../src/servers/private-rspamd.ts';

const USUAL_PORT = 11_334;

const [parentFolder = '.'] = process.argv.slice(2);
const redis = await PrivateRedis.start({ parentFolder });
const rspamd = await PrivateRspamd.start({ parentFolder, redisPort: redis.port });
const clients = new Set<Socket>();
const door = createServer((client) => {
  const server = connect(rspamd.controllerPort, LOOPBACK);
  clients.add(client);
  client.on('error', () => server.destroy()).on('close', () => clients.delete(client));
  server.on('error', () => client.destroy());
  client.pipe(server).pipe(client);
});
door.listen(USUAL_PORT, LOOPBACK);

process.on('SIGHUP', () => {
  if (!door.listening) {
    door.listen(USUAL_PORT, LOOPBACK);
    return;
  }
  door.close();
  for (const client of clients) client.destroy();
});
