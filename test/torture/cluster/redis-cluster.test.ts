import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeMessage, makeMessages } from '../../lab/messages.ts';
import { describeReal, startRedis, startRspamd } from '../../real/harness.ts';
import { DaemonSpool } from '../../support/daemon-spool.ts';
import { runCli } from '../../support/run-cli.ts';
import { until } from '../../support/until.ts';

/** The first slot of the second node: the key `learned_ids` belongs to the first node, `RS` to this one. */
const SECOND_FROM = 8_001;
const SLOTS = 16_384;

/**
 * A Redis cluster can't hold Bayes. Where the node that rspamd 3.4 is given has the key of the learned
 * messages, rspamd answers 200, then 208 for ever, and stores nothing else: a proof that is false.
 */
describeReal('a Redis cluster of two nodes', () => {
  it('is found out within two minutes, and nothing more is taken off the disk', async () => {
    await using first = await startRedis({ settings: ['cluster-enabled yes'] });
    await using second = await startRedis({ settings: ['cluster-enabled yes'] });
    await first.command('CLUSTER', 'ADDSLOTSRANGE', '0', String(SECOND_FROM - 1));
    await second.command('CLUSTER', 'ADDSLOTSRANGE', String(SECOND_FROM), String(SLOTS - 1));
    await first.command('CLUSTER', 'MEET', '127.0.0.1', String(second.port));
    await until('the cluster stands', async () => {
      return String(await first.command('CLUSTER', 'INFO')).includes('cluster_state:ok');
    });
    await using rspamd = await startRspamd({ redisPort: first.port, redisHistory: true });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ RSPAMD_URL: rspamd.url });
    let seed = 0;
    const isFoundOut = async (): Promise<boolean> => {
      await spool.judge(makeMessage(seed % 2 === 0 ? 'spam' : 'ham', seed));
      seed += 1;
      await sleep(500);
      return daemon.linesOf('controller.misconfigured').length > 0;
    };
    await until('it is found out', isFoundOut, 180_000);
    const [line] = daemon.linesOf('controller.misconfigured');
    expect(line?.fields).toMatchObject({ cure: expect.stringContaining('cluster') as unknown });
    const learned = daemon.linesOf('message.learned').length;
    await spool.judgeAll(...makeMessages('spam', 5, 10_000));
    daemon.signal('SIGHUP');
    await sleep(3_000);
    expect(daemon.linesOf('message.learned')).toHaveLength(learned);
    expect(spool.waiting.length).toBeGreaterThanOrEqual(5);
    expect(spool.quarantined).toEqual([]);
    const { out } = await runCli(['doctor'], {
      RSPAMD_URL: rspamd.url,
      KOPANO_SPAMD_LIB: spool.lib,
    });
    expect(out).toMatch(/Redis is a cluster|cluster can't hold Bayes/);
  });
});
