import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { PrivateRedis } from '../../../src/servers/private-redis.ts';
import type { PrivateRspamd } from '../../../src/servers/private-rspamd.ts';
import type { Daemon } from '../../lab/daemon.ts';
import { makeMessage } from '../../lab/messages.ts';
import { describeReal, startRedis, startRspamd } from '../../real/harness.ts';
import { until } from '../../real/world.ts';
import { startHere } from '../../support/daemon-here.ts';
import { byLength } from '../../support/length.ts';

/**
 * A site of three Kopano nodes, each with its spool and its daemon; two rspamd; one Redis with two
 * replicas and three sentinels. Either rspamd is killed on the way, and then the Redis.
 */
const NODES = 3;
const MESSAGES = byLength({ short: 600, middle: 1_500, long: 3_000 });
const PER_SECOND = 100;
/** One in a hundred of the long form: what is in flight at a kill may count twice, or not. */
const MOST_ASTRAY = 30;
/** Where in the stream of messages something is killed. */
const KILLS = { first: 0.15, second: 0.35, redis: 0.6 };
const AWAY_MS = 2_000;
/**
 * How long rspamd may take to see a new master: it asks the sentinels each minute, and at once when the
 * old one has failed three times; but only once, which may be too early. Its `sentinel_watch_time` is
 * without effect before 4.1. A worker that died of it needs some seconds besides.
 */
const SEEN_MS = 70_000;
/** A controller that is away is tried again after so long at most while new messages come. */
const LONGEST_PROBE_MS = 5_000;

/**
 * A master that is silent for so long is down; two sentinels of three have to agree. On a busy machine one
 * that is well may be silent for a second.
 */
const DOWN_AFTER_MS = 3_000;
const QUORUM = 2;

function watchOver(port: number): readonly string[] {
  return [
    `sentinel monitor bayes 127.0.0.1 ${port} ${QUORUM}`,
    `sentinel down-after-milliseconds bayes ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout bayes ${DOWN_AFTER_MS * 10}`,
  ];
}

class Cluster implements AsyncDisposable {
  readonly redises: PrivateRedis[] = [];
  readonly sentinels: PrivateRedis[] = [];
  readonly rspamds: PrivateRspamd[] = [];
  readonly daemons: Daemon[] = [];
  readonly folders: string[] = [];

  static async make(): Promise<Cluster> {
    const cluster = new Cluster();
    try {
      await cluster.#build();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #build(): Promise<void> {
    const master = await startRedis();
    this.redises.push(master);
    for (let i = 0; i < 2; i += 1) {
      this.redises.push(await startRedis({ settings: [`replicaof 127.0.0.1 ${master.port}`] }));
    }
    for (let i = 0; i < 3; i += 1) {
      this.sentinels.push(await startRedis({ settings: watchOver(master.port), isSentinel: true }));
    }
    await until('the sentinels know replicas and each other', 30_000, async () => {
      const known = await Promise.all(this.sentinels.map((each) => masterSeenBy(each)));
      return known.every(
        (each) => each['num-slaves'] === '2' && each['num-other-sentinels'] === '2',
      );
    });
    const sentinelPorts = this.sentinels.map(({ port }) => port);
    for (let i = 0; i < 2; i += 1) {
      this.rspamds.push(await startRspamd({ redisPort: master.port, sentinelPorts }));
    }
    for (let i = 0; i < NODES; i += 1) {
      const lib = await mkdtemp(join(tmpdir(), 'learnd-node-'));
      this.folders.push(lib);
      for (const name of ['spam', 'ham', 'new']) await mkdir(join(lib, name));
      this.daemons.push(
        startHere(['watch'], {
          KOPANO_SPAMD_LIB: lib,
          RSPAMD_URL: this.rspamds.map(({ url }) => url).join(','),
          RSPAMD_TIMEOUT_SECONDS: '5',
          STATUS_LISTEN: 'off',
        }),
      );
    }
  }

  /** A user of some node drags a message. */
  async judge(index: number): Promise<void> {
    const lib = this.folders[index % NODES] ?? '';
    const { verdict, name, raw } = makeMessage(index % 2 === 0 ? 'spam' : 'ham', index);
    const file = join(lib, 'new', name);
    await writeFile(file, raw);
    await chmod(file, 0o660);
    await rename(file, join(lib, verdict, name));
  }

  async filesIn(...places: readonly string[]): Promise<number> {
    const lists = this.folders.flatMap((lib) =>
      places.map((place) => readdir(join(lib, place)).catch(() => [])),
    );
    return (await Promise.all(lists)).flat().filter((name) => !name.startsWith('.')).length;
  }

  async untilDone(): Promise<void> {
    const places = ['spam', 'ham', '.learnd/queue/spam', '.learnd/queue/ham'];
    await until('everything is learned', 180_000, async () => {
      return (await this.filesIn(...places)) === 0;
    });
  }

  /** The port of the master that all sentinels name. */
  async masterPort(): Promise<number | undefined> {
    const ports = await Promise.all(
      this.sentinels.map(async (each) => Number((await masterSeenBy(each))['port'])),
    );
    return new Set(ports).size === 1 ? ports[0] : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.daemons) await daemon.kill();
    for (const server of [...this.rspamds, ...this.sentinels, ...this.redises]) {
      await server.kill();
      await server[Symbol.asyncDispose]();
    }
    for (const folder of this.folders) await rm(folder, { recursive: true, force: true });
  }
}

async function masterSeenBy(sentinel: PrivateRedis): Promise<Readonly<Record<string, string>>> {
  const reply = await sentinel.command('SENTINEL', 'MASTER', 'bayes');
  if (!Array.isArray(reply)) throw new Error('SENTINEL MASTER did not answer with a list');
  const words = reply.map(String);
  const pairs = words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? '']] : []));
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The longest time between two messages that a daemon learned. */
function longestStandstill(daemon: Daemon): number {
  const times = daemon
    .linesOf('message.learned')
    .map(({ fields }) => Date.parse(String(fields['time'])));
  return Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? time)));
}

describeReal('three nodes behind a Redis with sentinels', () => {
  it('lose nothing when either rspamd and then the Redis is killed', async () => {
    await using cluster = await Cluster.make();
    const [first, second] = cluster.rspamds;
    const [master] = cluster.redises;
    if (first === undefined || second === undefined || master === undefined)
      throw new Error('none');
    const pending: Promise<unknown>[] = [];
    let failoverMs = NaN;
    const away = async (rspamd: PrivateRspamd): Promise<void> => {
      await rspamd.kill();
      await sleep(AWAY_MS);
      await rspamd.start();
    };
    const failOver = async (): Promise<void> => {
      const startedAt = performance.now();
      await master.kill();
      await until('another master is made', 60_000, async () => {
        const port = await cluster.masterPort();
        return port !== undefined && port !== master.port;
      });
      failoverMs = performance.now() - startedAt;
    };
    const startedAt = performance.now();
    for (let index = 0; index < MESSAGES; index += 1) {
      await sleep(Math.max(0, startedAt + (index * 1_000) / PER_SECOND - performance.now()));
      await cluster.judge(index);
      if (index === Math.floor(MESSAGES * KILLS.first)) pending.push(away(first));
      if (index === Math.floor(MESSAGES * KILLS.second)) pending.push(away(second));
      if (index === Math.floor(MESSAGES * KILLS.redis)) pending.push(failOver());
    }
    await Promise.all(pending);
    await cluster.untilDone();

    const port = await cluster.masterPort();
    const now = cluster.redises.find((each) => each.port === port);
    expect(now).toBeDefined();
    const counts = await now?.bayesCounts();
    const learned = (counts?.spam ?? 0) + (counts?.ham ?? 0);
    expect(Math.abs(learned - MESSAGES)).toBeLessThanOrEqual(MOST_ASTRAY);
    expect(await cluster.filesIn('.learnd/quarantine/spam', '.learnd/quarantine/ham')).toBe(0);
    const standstills = cluster.daemons.map(longestStandstill);
    const allowed = failoverMs + SEEN_MS + LONGEST_PROBE_MS;
    process.stdout.write(
      `cluster: failover ${Math.round(failoverMs)} ms, standstills ${standstills.join(', ')} ms, ` +
        `${learned} of ${MESSAGES} counted\n`,
    );
    expect(Math.max(...standstills)).toBeLessThanOrEqual(allowed);
  });
});
