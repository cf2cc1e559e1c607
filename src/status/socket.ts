import { unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Bugs } from '../bugs.ts';
import { ifAllowed } from '../errors.ts';
import type { Folder } from '../spool/folder.ts';
import { closeServer, createPageServer, json } from './pages.ts';
import type { Reporter } from './reports.ts';

/**
 * The owner's status for `status` and `doctor` of the same user, over a socket in the state dir: they
 * find it also where STATUS_LISTEN is off, or its port taken. Whoever holds the state dir's lock may
 * remove the socket of one that was killed.
 */
export const SOCKET_FILE = 'status.sock';

export class StatusSocket {
  readonly #server: Server;

  constructor(reporter: Reporter, bugs: Bugs) {
    this.#server = createPageServer(bugs, async (path) =>
      path === '/status' ? json(200, await reporter.status()) : undefined,
    );
    // Without it learning goes on, and STATUS_LISTEN tells the same.
    this.#server.on('error', () => undefined);
  }

  /** Listens in a folder that stays open until `stop`. */
  start(stateDir: Folder): void {
    // By the descriptor: the path of a socket may have 107 bytes at most.
    const place = String(stateDir.at(SOCKET_FILE));
    ifAllowed(() => unlinkSync(place));
    this.#server.listen(place).unref();
  }

  /** Idempotent. Removes the socket. */
  async stop(): Promise<void> {
    await closeServer(this.#server);
  }
}
