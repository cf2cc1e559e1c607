import { existsSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Config, ControllerAddress } from '../config.ts';
import { readText, serverCommand } from '../host.ts';
import type { Host } from '../host.ts';
import type { Environment } from '../settings.ts';
import { joined } from './finding.ts';
import { settingCommand } from './settings.ts';

/** What can be known, and mended, of an rspamd that runs on this machine. */

export interface Here {
  readonly controller: ControllerAddress;
  readonly config: Pick<Config, 'file' | 'spool' | 'rspamd' | 'learning'>;
  readonly environment: Environment;
  /** How the daemon is run. */
  readonly host: Host;
}

/** Whether the URL leads to this machine, as far as that is plain. */
export function isHere({ url, socketPath }: ControllerAddress): boolean {
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  return socketPath !== undefined || isThisMachine(host);
}

/** Whether a name or an address is this machine's own, as far as that is plain. */
export function isThisMachine(host: string): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return (
    host === 'localhost' ||
    host.startsWith('127.') ||
    addresses.some(({ address }) => address === host)
  );
}

export function bindOf({ url, socketPath }: ControllerAddress): string {
  const { port, protocol } = new URL(url);
  return socketPath ?? `:${port || (protocol === 'https:' ? '443' : '80')}`;
}

/**
 * The controllers' processes. rspamd writes what a process listens on into its title: "rspamd:
 * controller process (127.0.0.1:11334)".
 */
export function controllersHere() {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const title = readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
    const binds = /^rspamd: controller process \(([^)]*)\)/.exec(title)?.[1]?.split(/[,;\s]+/);
    const parent = /^PPid:\s*(\d+)$/m.exec(readText(`/proc/${pid}/status`))?.[1] ?? '';
    return binds === undefined ? [] : [{ binds, parent }];
  });
}

/** Where nobody listens: starts rspamd, or sets the URL to where it listens, if that is one place. */
export function startOrFind({ controller, config, environment, host }: Here): string | undefined {
  if (!isHere(controller)) return undefined;
  const urls = new Set(
    controllersHere().flatMap(({ binds }) =>
      binds.flatMap((each) => {
        const [, address = '', port = ''] = /^([\d.]+|\*):(\d+)$/.exec(each) ?? [];
        const host = ['*', '0.0.0.0'].includes(address) ? '127.0.0.1' : address;
        return port === '' ? [] : `http://${host}:${port}`;
      }),
    ),
  );
  if (urls.size === 0) return serverCommand(['rspamd'], environment);
  const [url = ''] = urls;
  const isOnly = urls.size === 1 && config.rspamd.controllers.length === 1;
  return isOnly && controller.url !== `${url}/`
    ? settingCommand(config, environment, 'RSPAMD_URL', url, host)
    : undefined;
}

/** Starts Redis, where rspamd and its Redis are services of this machine. */
export function startRedis({ controller, environment }: Here): string | undefined {
  if (!isHere(controller) || serverCommand(['rspamd'], environment) === undefined) return undefined;
  return serverCommand(['redis-server', 'redis', 'valkey-server', 'valkey'], environment);
}

const REDIS_CONF = '/etc/rspamd/local.d/redis.conf';

/** Gives rspamd the Redis of this machine, where nothing is said of another one. */
export function giveRedis(here: Here): string | undefined {
  const restart = serverCommand(['rspamd'], here.environment);
  const isFree = existsSync('/etc/rspamd/local.d') && !existsSync(REDIS_CONF);
  if (!isFree || restart === undefined || startRedis(here) === undefined) return undefined;
  return joined(`echo 'servers = "127.0.0.1";' >${REDIS_CONF}`, restart);
}
