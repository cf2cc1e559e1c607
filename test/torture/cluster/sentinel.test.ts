import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { PrivateRedis } from '../../../src/servers/private-redis.ts';
import type { PrivateRspamd } from '../../../src/servers/private-rspamd.ts';
import { makeMessage } from '../../lab/messages.ts';
import { describeReal, end, startRedis, startRspamd } from '../../real/harness.ts';
import { longestStandstill } from '../../real/standstill.ts';
import { DaemonSpool } from '../../support/daemon-spool.ts';
import { byLength } from '../../support/length.ts';
import { until } from '../../support/until.ts';

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
  readonly nodes: DaemonSpool[] = [];

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
    await until('the sentinels know replicas and each other', async () => {
      const known = await Promise.all(this.sentinels.map((each) => masterSeenBy(each)));
      return known.every(
        (each) => each['num-slaves'] === '2' && each['num-other-sentinels'] === '2',
      );
    });
    const sentinelPorts = this.sentinels.map(({ port }) => port);
    for (let i = 0; i < 2; i += 1) {
      this.rspamds.push(await startRspamd({ redisPort: master.port, sentinelPorts }));
    }
    const settings = {
      RSPAMD_URL: this.rspamds.map(({ url }) => url).join(','),
      RSPAMD_TIMEOUT_SECONDS: '5',
      STATUS_LISTEN: 'off',
    };
    for (let i = 0; i < NODES; i += 1) {
      const node = new DaemonSpool({ settings });
      this.nodes.push(node);
      node.start();
    }
  }

  /** A user of some node drags a message. */
  judge(index: number): void {
    this.nodes[index % NODES]?.put(makeMessage(index % 2 === 0 ? 'spam' : 'ham', index));
  }

  /** The port of the master that all sentinels name. */
  async masterPort(): Promise<number | undefined> {
    const ports = await Promise.all(
      this.sentinels.map(async (each) => Number((await masterSeenBy(each))['port'])),
    );
    return new Set(ports).size === 1 ? ports[0] : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await end(...this.rspamds, ...this.sentinels, ...this.redises);
  }
}

async function masterSeenBy(sentinel: PrivateRedis): Promise<Readonly<Record<string, string>>> {
  const reply = await sentinel.command('SENTINEL', 'MASTER', 'bayes');
  if (!Array.isArray(reply)) throw new Error('SENTINEL MASTER did not answer with a list');
  const words = reply.map(String);
  const pairs = words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? '']] : []));
  return Object.fromEntries(pairs) as Record<string, string>;
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
      await until('another master is made', async () => {
        const port = await cluster.masterPort();
        return port !== undefined && port !== master.port;
      });
      failoverMs = performance.now() - startedAt;
    };
    const startedAt = performance.now();
    for (let index = 0; index < MESSAGES; index += 1) {
      await sleep(Math.max(0, startedAt + (index * 1_000) / PER_SECOND - performance.now()));
      cluster.judge(index);
      if (index === Math.floor(MESSAGES * KILLS.first)) pending.push(away(first));
      if (index === Math.floor(MESSAGES * KILLS.second)) pending.push(away(second));
      if (index === Math.floor(MESSAGES * KILLS.redis)) pending.push(failOver());
    }
    await Promise.all(pending);
    for (const node of cluster.nodes) await node.untilDone(180_000);

    const port = await cluster.masterPort();
    const now = cluster.redises.find((each) => each.port === port);
    expect(now).toBeDefined();
    const counts = await now?.bayesCounts();
    const learned = (counts?.spam ?? 0) + (counts?.ham ?? 0);
    expect(Math.abs(learned - MESSAGES)).toBeLessThanOrEqual(MOST_ASTRAY);
    expect(cluster.nodes.flatMap(({ quarantined }) => quarantined)).toEqual([]);
    const standstills = cluster.nodes.map(({ daemon }) => longestStandstill(daemon));
    const allowed = failoverMs + SEEN_MS + LONGEST_PROBE_MS;
    process.stdout.write(
      `cluster: failover ${Math.round(failoverMs)} ms, standstills ${standstills.join(', ')} ms, ` +
        `${learned} of ${MESSAGES} counted\n`,
    );
    expect(Math.max(...standstills)).toBeLessThanOrEqual(allowed);
  });
});
