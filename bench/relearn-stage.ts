/**
 * What the contenders of the relearn benchmark learn into: a private Redis and a private rspamd, in
 * the same state before every run.
 *
 * That state: rspamd was started anew, has learned some made messages (just after its start it
 * forgets a few of what it learned, and its first posts are slow), and then Redis was emptied, so
 * that nothing of them is left, in `/stat` neither.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeMessages } from '../src/lab/messages.ts';
import { PrivateRedis, type BayesCounts } from '../src/lab/private-redis.ts';
import { PrivateRspamd } from '../src/lab/private-rspamd.ts';
import { findProgram } from '../src/lab/programs.ts';
import { ask } from '../src/lab/rspamd-client.ts';
import { cpuMsOf } from './process-figures.ts';

const WARM_UP = 100;
/** No corpus of made messages reaches this far. */
const WARM_UP_SEED = 1_000_000_000;
/**
 * rspamd 3.4 reads the counters for `/stat` some 100 ms after it is up, and then every 30 to 60 s.
 * Had it read them during the warm-up, their zeros would be waited for that long.
 */
const FIRST_READING_MS = 1_000;
const STAT_POLL_MS = 500;
const STAT_PATIENCE_MS = 90_000;

export class RelearnStage {
  readonly #redis: PrivateRedis;
  readonly #rspamd: PrivateRspamd;

  private constructor(redis: PrivateRedis, rspamd: PrivateRspamd) {
    this.#redis = redis;
    this.#rspamd = rspamd;
  }

  static async start(): Promise<RelearnStage> {
    const searchPath = process.env['PATH'];
    const programOf = (name: string): string => findProgram(name, searchPath) ?? name;
    const redis = await PrivateRedis.start({ program: programOf('redis-server') });
    try {
      const program = programOf('rspamd');
      const rspamd = await PrivateRspamd.start({ program, redisPort: redis.port });
      return new RelearnStage(redis, rspamd);
    } catch (error) {
      await redis[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The controller's port on the loopback address. */
  get port(): number {
    return this.#rspamd.controllerPort;
  }

  /** Brings about the state that every run starts in. */
  async reset(): Promise<void> {
    await this.#rspamd.kill();
    await this.#redis.command('FLUSHALL');
    await this.#rspamd.start();
    await sleep(FIRST_READING_MS);
    for (const verdict of ['spam', 'ham'] as const) {
      for (const { raw } of makeMessages(verdict, WARM_UP, WARM_UP_SEED)) {
        await this.#rspamd.post(`/learn${verdict}`, raw, { 'Learn-Type': 'bulk' });
      }
    }
    await this.#redis.command('FLUSHALL');
    await this.#untilStatIsZero();
  }

  /** What Bayes has learned, by Redis' own counters. */
  async learned(): Promise<BayesCounts> {
    return this.#redis.bayesCounts();
  }

  /** CPU time so far of the process that learns, and of Redis. */
  async serverCpuMs(): Promise<{ readonly rspamd: number; readonly redis: number }> {
    const workers = await this.#rspamd.workers();
    const controller = workers.find(({ kind }) => kind === 'controller');
    const { pid } = this.#redis;
    if (controller === undefined || pid === undefined) throw new Error('a server has ended');
    return { rspamd: cpuMsOf(controller.pid), redis: cpuMsOf(pid) };
  }

  async stop(): Promise<void> {
    await this.#rspamd[Symbol.asyncDispose]();
    await this.#redis[Symbol.asyncDispose]();
  }

  async #untilStatIsZero(): Promise<void> {
    const deadline = performance.now() + STAT_PATIENCE_MS;
    for (;;) {
      const { body } = await ask(this.port, { method: 'GET', path: '/stat' });
      const { statfiles } = JSON.parse(body) as { statfiles: readonly { revision: number }[] };
      if (statfiles.length === 2 && statfiles.every(({ revision }) => revision === 0)) return;
      if (performance.now() > deadline) throw new Error(`/stat still counts: ${body}`);
      await sleep(STAT_POLL_MS);
    }
  }
}
