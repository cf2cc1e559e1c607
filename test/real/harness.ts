/**
 * Real servers for a test file: a private Redis and a private rspamd that learns into it.
 */
import { execFileSync } from 'node:child_process';
import { describe, type SuiteOptions } from 'vitest';
import { PrivateRedis, type PrivateRedisOptions } from '../../src/servers/private-redis.ts';
import { PrivateRspamd, type PrivateRspamdOptions } from '../../src/servers/private-rspamd.ts';
import { parseStatistics } from '../../src/trainers/rspamd.ts';
import { findProgram } from '../../src/servers/programs.ts';
import { needsPrograms } from '../support/needs.ts';

const programs = {
  rspamd: findProgram('rspamd', process.env['PATH']),
  redis: findProgram('redis-server', process.env['PATH']),
};

const REAL = needsPrograms('rspamd', 'redis-server');

/** `describe` for tests on the real servers. */
export function describeReal(
  name: string,
  ...[first, second]: [test: () => void] | [options: SuiteOptions, test: () => void]
): void {
  if (typeof first === 'function') describe(name, REAL, first);
  else describe(name, { ...first, ...REAL }, second);
}

/** rspamd learns further classes from 4.1 on (3.4 and 3.12.1 do not). */
export function hasClasses(): boolean {
  if (programs.rspamd === undefined) return false;
  const [, major = '0', minor = '0'] =
    /(\d+)\.(\d+)/.exec(execFileSync(programs.rspamd, ['--version'], { encoding: 'utf8' })) ?? [];
  return Number(major) > 4 || (Number(major) === 4 && Number(minor) >= 1);
}

/** A private Redis with the installed program. */
export async function startRedis(options: PrivateRedisOptions = {}): Promise<PrivateRedis> {
  return PrivateRedis.start({ program: programs.redis ?? 'redis-server', ...options });
}

/** A private rspamd with the installed program. */
export async function startRspamd(options: PrivateRspamdOptions): Promise<PrivateRspamd> {
  return PrivateRspamd.start({ program: programs.rspamd ?? 'rspamd', ...options });
}

/** Both, connected; disposing stops both and removes their folders. */
export interface RealServers extends AsyncDisposable {
  readonly redis: PrivateRedis;
  readonly rspamd: PrivateRspamd;
}

/** Those that wait for the next test of this worker: a start takes longer than most tests. */
const spare: RealServers[] = [];

/**
 * An rspamd that learns into an empty Redis, perhaps not its first one: what `/stat` and the history
 * show may be an earlier test's for a minute.
 */
export async function borrowServers(): Promise<RealServers> {
  const servers = spare.pop() ?? (await startServers());
  await servers.redis.command('CONFIG', 'SET', 'maxmemory', '0');
  await servers.redis.command('FLUSHALL');
  return servers;
}

/** Takes them back when no client of theirs is left. */
export async function returnServers(servers: RealServers): Promise<void> {
  const { redis, rspamd } = servers;
  redis.resume();
  rspamd.resume();
  if (redis.running && rspamd.running) spare.push(servers);
  else await servers[Symbol.asyncDispose]();
}

/** What `/stat` shows that Bayes has learned, which may be a minute old. */
export async function shownBy({ url }: PrivateRspamd): Promise<Partial<Record<string, number>>> {
  return parseStatistics(await (await fetch(`${url}/stat`)).text())?.learned ?? {};
}

/** Starts a Redis and an rspamd that learns into it. */
export async function startServers(
  options: {
    readonly redis?: PrivateRedisOptions;
    readonly rspamd?: Omit<PrivateRspamdOptions, 'redisPort'>;
  } = {},
): Promise<RealServers> {
  const redis = await startRedis(options.redis);
  const rspamd = await startRspamd({ ...options.rspamd, redisPort: redis.port });
  return { redis, rspamd, [Symbol.asyncDispose]: () => end(rspamd, redis) };
}

/** Without a farewell: what they hold is of no use, and rspamd takes a second for one. */
export async function end(...servers: readonly (PrivateRedis | PrivateRspamd)[]): Promise<void> {
  for (const server of servers) {
    await server.kill();
    await server[Symbol.asyncDispose]();
  }
}
