/**
 * What the contenders of the relearn benchmark learn into: a private Redis and a private rspamd, in
 * the same state before every run.
 *
 * That state: rspamd has compiled its regular expressions (which takes a core for a quarter of a
 * minute after its start), has learned some made messages (just after its start it forgets a few of
 * what it learned, and its first posts are slow), and then Redis was emptied.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { makeMessages } from '../test/lab/messages.ts';
import { PrivateRedis, type BayesCounts } from '../src/servers/private-redis.ts';
import { PrivateRspamd } from '../src/servers/private-rspamd.ts';
import { findProgram } from '../src/servers/programs.ts';
import { cpuMsOf } from './process-figures.ts';

const WARM_UP = 100;
/** No corpus of made messages reaches this far. */
const WARM_UP_SEED = 1_000_000_000;
/** A helper of rspamd that used less than this in this time is done. */
const QUIET_MS = 3_000;
const QUIET_CPU_MS = 50;
const QUIET_PATIENCE_MS = 180_000;

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
    await this.#untilQuiet();
    for (const verdict of ['spam', 'ham'] as const) {
      for (const { raw } of makeMessages(verdict, WARM_UP, WARM_UP_SEED)) {
        await this.#rspamd.post(`/learn${verdict}`, raw, { 'Learn-Type': 'bulk' });
      }
    }
    await this.#redis.command('FLUSHALL');
  }

  /** What Bayes has learned, by Redis' own counters. */
  async learned(): Promise<BayesCounts> {
    return this.#redis.bayesCounts();
  }

  /** CPU time so far of the process that learns, and of Redis. */
  serverCpuMs(): { readonly rspamd: number; readonly redis: number } {
    const workers = this.#rspamd.workers();
    const controller = workers.find(({ kind }) => kind === 'controller');
    const { pid } = this.#redis;
    if (controller === undefined || pid === undefined) throw new Error('a server has ended');
    return { rspamd: cpuMsOf(controller.pid), redis: cpuMsOf(pid) };
  }

  async stop(): Promise<void> {
    await this.#rspamd[Symbol.asyncDispose]();
    await this.#redis[Symbol.asyncDispose]();
  }

  /** Waits until all of rspamd rests. */
  async #untilQuiet(): Promise<void> {
    const deadline = performance.now() + QUIET_PATIENCE_MS;
    for (;;) {
      const before = this.#allCpuMs();
      await sleep(QUIET_MS);
      if (this.#allCpuMs() - before < QUIET_CPU_MS) return;
      if (performance.now() > deadline) throw new Error('rspamd does not come to rest');
    }
  }

  #allCpuMs(): number {
    const workers = this.#rspamd.workers();
    return workers.reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
  }
}
