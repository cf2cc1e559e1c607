import { accessSync, existsSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { ControllerAddress } from '../config.ts';
import { errnoOf } from '../errors.ts';
import { plainName, readText, serverCommand } from '../host.ts';
import type { Environment } from '../settings.ts';
import type { SpamdAddress } from '../spamd-address.ts';
import { isUnmapped } from '../spool/user-namespace.ts';
import { joined } from './finding.ts';
import type { Case } from './finding.ts';
import { settingCommand } from './settings.ts';

/** What this machine says of its users, its files, and of rspamd and spamd where they run on it. */

/** A user or a group for people: the number with its name. */
export function named(kind: 'uid' | 'gid', id: number | bigint): string {
  if (isUnmapped(kind, id)) return `${kind} ${id} (not mapped into this container)`;
  const name = plainName(kind, id);
  return name === String(id) ? `${kind} ${id}` : `${kind} ${id} (${name})`;
}

/** The code of why access is refused to this process; `undefined` when it isn't. */
export function accessFault(place: string | Buffer, mode: number): string | undefined {
  try {
    accessSync(place, mode);
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? 'unknown';
  }
}

/** Whether an address leads to this machine, as far as that is plain. */
export function isHere(address: ControllerAddress | SpamdAddress): boolean {
  if (address.socketPath !== undefined) return true;
  const host = 'host' in address ? address.host : new URL(address.url).hostname;
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return (
    bare === 'localhost' ||
    bare.startsWith('127.') ||
    own.some(({ address: each }) => each === bare)
  );
}

/** The processes that can be seen, each with the words of its command line. */
function processes() {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => ({
    words: readText(`/proc/${pid}/cmdline`).split('\0'),
    /** A field of its status. */
    field: (name: string): string =>
      RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readText(`/proc/${pid}/status`))?.[1] ?? '',
  }));
}

/**
 * How many processes a controller of this machine has. rspamd writes what a process listens on into its
 * title: "rspamd: controller process (127.0.0.1:11334)".
 */
export function controllerProcesses({ url, socketPath }: ControllerAddress): number {
  const { port, protocol } = new URL(url);
  const bind = socketPath ?? `:${port || (protocol === 'https:' ? '443' : '80')}`;
  // Those of another rspamd, in a container, say, have another parent.
  const ofParent = new Map<string, number>();
  for (const { binds, parent } of controllersHere()) {
    const isIt = binds.some(
      (each) => each === bind || (socketPath === undefined && each.endsWith(bind)),
    );
    if (isIt) ofParent.set(parent, (ofParent.get(parent) ?? 0) + 1);
  }
  return Math.max(0, ...ofParent.values());
}

function controllersHere() {
  return processes().flatMap(({ words, field }) => {
    const title = /^rspamd: controller process \(([^)]*)\)/.exec(words.join(' '));
    const binds = title?.[1]?.split(/[,;\s]+/);
    return binds === undefined ? [] : [{ binds, parent: field('PPid') }];
  });
}

/** Where nobody listens: starts rspamd, or sets the URL to where it listens, if that is one place. */
export function startOrFind(controller: ControllerAddress, given: Case): string | undefined {
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
  if (urls.size === 0) return serverCommand(['rspamd'], given.environment);
  const [url = ''] = urls;
  const isOnly = urls.size === 1 && given.config.rspamd.controllers.length === 1;
  return isOnly && controller.url !== `${url}/`
    ? settingCommand(given, 'RSPAMD_URL', url)
    : undefined;
}

/** Starts Redis, where rspamd and its Redis are services of this machine. */
export function startRedis(
  controller: ControllerAddress,
  environment: Environment,
): string | undefined {
  if (!isHere(controller) || serverCommand(['rspamd'], environment) === undefined) return undefined;
  return serverCommand(['redis-server', 'redis', 'valkey-server', 'valkey'], environment);
}

const REDIS_CONF = '/etc/rspamd/local.d/redis.conf';

/** Gives rspamd the Redis of this machine, where nothing is said of another one. */
export function giveRedis(
  controller: ControllerAddress,
  environment: Environment,
): string | undefined {
  const restart = serverCommand(['rspamd'], environment);
  const isFree = existsSync('/etc/rspamd/local.d') && !existsSync(REDIS_CONF);
  if (!isFree || startRedis(controller, environment) === undefined) return undefined;
  return joined(`echo 'servers = "127.0.0.1";' >${REDIS_CONF}`, restart);
}

/** What can be seen of a spamd that runs on this machine (SpamAssassin 4.0.1). */
interface Spamd {
  /** Its words after the program. */
  readonly args: readonly string[];
  /** Whom it runs as, or whom its processes become; root's become the user of each request. */
  readonly user: string;
}

/** The one spamd that may listen there; `undefined` where none can be seen, or several. */
export function spamdHere(address: SpamdAddress): Spamd | undefined {
  if (!isHere(address)) return undefined;
  const { socketPath } = address;
  const found = processes().flatMap(({ words, field }) => {
    // perl -T -w /usr/sbin/spamd; a child calls itself "spamd child"
    const at = words.slice(0, 4).findIndex((word) => /(^|\/)spamd$/.test(word));
    const args = words.slice(at + 1);
    const isIt =
      socketPath === undefined
        ? !args.some((arg) => arg.startsWith('--socketpath'))
        : args.some((arg) => arg === socketPath || arg === `--socketpath=${socketPath}`);
    if (at < 0 || !isIt) return [];
    const [, effective = ''] = field('Uid').split(/\s+/);
    return [
      { args, user: optionOf(args, '-u', '--username') ?? plainName('uid', Number(effective)) },
    ];
  });
  return found.length === 1 ? found[0] : undefined;
}

/** The value of an option, which follows it or is joined to it. */
export function optionOf(args: readonly string[], short: string, long: string): string | undefined {
  const at = args.findIndex((arg) => [short, long].includes(arg));
  if (at >= 0) return args[at + 1];
  const joint = args.find((arg) => arg.startsWith(`${long}=`) || /^-[^-]/.exec(arg)?.[0] === short);
  return joint?.slice(joint.startsWith('--') ? long.length + 1 : short.length);
}
