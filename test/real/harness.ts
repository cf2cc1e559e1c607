/**
 * Real servers for a test file: a private Redis and a private rspamd that learns into it.
 *
 * With rspamd or redis-server not installed the tests that need them can't run; `describeReal` then
 * skips them on a developer's machine and fails them where CI is set, so they never vanish unseen.
 */
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { PrivateRedis, type PrivateRedisOptions } from '../../src/lab/private-redis.ts';
import { PrivateRspamd, type PrivateRspamdOptions } from '../../src/lab/private-rspamd.ts';
import { findProgram } from '../../src/lab/programs.ts';

/** A compiled file of the package, such as `main.js`; `npm test` builds before it tests. */
export function compiled(path: string): string {
  return fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
}

const programs = {
  rspamd: findProgram('rspamd', process.env['PATH']),
  redis: findProgram('redis-server', process.env['PATH']),
};

const canRun = programs.rspamd !== undefined && programs.redis !== undefined;

const mustRun = !['', 'false'].includes(process.env['CI'] ?? '');

/** `describe` for tests on the real servers. */
export const describeReal = describe.skipIf(!canRun && !mustRun);

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

/** Starts a Redis and an rspamd that learns into it. */
export async function startServers(
  options: {
    readonly redis?: PrivateRedisOptions;
    readonly rspamd?: Omit<PrivateRspamdOptions, 'redisPort'>;
  } = {},
): Promise<RealServers> {
  const redis = await startRedis(options.redis);
  try {
    const rspamd = await startRspamd({ ...options.rspamd, redisPort: redis.port });
    return {
      redis,
      rspamd,
      [Symbol.asyncDispose]: async () => {
        await rspamd[Symbol.asyncDispose]();
        await redis[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await redis[Symbol.asyncDispose]();
    throw error;
  }
}
