import type { Config } from '../config.ts';
import { ifAllowed } from '../errors.ts';
import { Folder } from '../spool/folder.ts';
import { askDaemon } from './client.ts';
import type { PageReply } from './client.ts';
import type { DaemonReport } from './reports.ts';
import { SOCKET_FILE } from './socket.ts';

/** What is known of the running daemon; `off`: it may not be asked. */
export type DaemonAnswer =
  PageReply<DaemonReport> | { readonly kind: 'off'; readonly reason: string };

const TIMEOUT_MS = 5_000;

/**
 * Asks the running daemon for its status: over the socket in the state dir, where only the owner of this
 * very spool is; else at STATUS_LISTEN, where one that stands by answers, too. Never rejects.
 */
export async function askStatus(
  { spool, statusListen }: Pick<Config, 'spool' | 'statusListen'>,
  stop: AbortSignal,
): Promise<DaemonAnswer> {
  const owner = await askOwner(spool.stateDir, stop);
  if (owner !== undefined && owner.kind !== 'none') return owner;
  return statusListen === undefined
    ? { kind: 'off', reason: 'STATUS_LISTEN is off' }
    : askDaemon(statusListen, '/status', TIMEOUT_MS, stop);
}

/** `undefined` where the state dir can't be entered. */
async function askOwner(
  stateDir: string,
  stop: AbortSignal,
): Promise<PageReply<DaemonReport> | undefined> {
  using folder = ifAllowed(() => Folder.open(stateDir));
  if (folder === undefined) return undefined;
  const socketPath = String(folder.at(SOCKET_FILE));
  return await askDaemon<DaemonReport>({ socketPath }, '/status', TIMEOUT_MS, stop);
}
