import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeReal, startServers } from '../../real/harness.ts';
import type { RealServers } from '../../real/harness.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import { probeBy } from './campaign.ts';
import { Stage } from './stage.ts';
import type { Fleet } from './stage.ts';

/** Real faults of rspamd and its Redis, with the daemon at work. */

const chance = chanceFor('controller-servers', 324_462_292);
const PATIENCE_MS = byLength({ short: 120_000, middle: 400_000, long: 1_800_000 });
let servers: RealServers;

beforeAll(async () => {
  // what it has answered it keeps, however it ends
  servers = await startServers({ redis: { persistence: 'always' } });
});

afterAll(async () => {
  await servers[Symbol.asyncDispose]();
});

interface Outage {
  readonly name: string;
  readonly begin: (servers: RealServers) => unknown;
  readonly end: (servers: RealServers) => unknown;
  /** Each post takes as long as the daemon waits, or as rspamd does. */
  readonly slow?: boolean;
}

async function controllersOf({ rspamd }: RealServers): Promise<number[]> {
  const workers = await rspamd.workers();
  return workers.filter(({ kind }) => kind === 'controller').map(({ pid }) => pid);
}

const OUTAGES: readonly Outage[] = [
  {
    name: 'Redis is stopped',
    begin: ({ redis }) => redis.stop(),
    end: ({ redis }) => redis.start(),
  },
  {
    name: 'Redis is full',
    begin: ({ redis }) => redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    end: ({ redis }) => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    name: 'Redis is a replica of nobody there',
    begin: ({ redis }) => redis.command('REPLICAOF', '127.0.0.1', '9'),
    end: ({ redis }) => redis.command('REPLICAOF', 'NO', 'ONE'),
  },
  {
    name: 'rspamd is stopped',
    begin: ({ rspamd }) => rspamd.stop(),
    end: ({ rspamd }) => rspamd.start(),
  },
  {
    name: 'rspamd is frozen',
    begin: ({ rspamd }) => {
      rspamd.freeze();
    },
    end: ({ rspamd }) => {
      rspamd.resume();
    },
    slow: true,
  },
  {
    name: 'Redis is frozen',
    begin: ({ redis }) => {
      redis.freeze();
    },
    end: ({ redis }) => {
      redis.resume();
    },
    slow: true,
  },
  {
    name: 'the controller was told to end and hangs for good',
    begin: async (servers) => {
      for (const pid of await controllersOf(servers)) process.kill(pid, 'SIGTERM');
    },
    end: ({ rspamd }) => rspamd.restart(),
    slow: true,
  },
];

const isChosen = byLength({
  short: (outage: Outage) => ['Redis is full', 'rspamd is frozen'].includes(outage.name),
  middle: () => true,
  long: () => true,
});

/**
 * With ten seconds a post survives what a hung Redis does to rspamd 3.4: 200 after four seconds, and
 * nothing is stored.
 */
const TIMEOUTS = byLength({ short: [1], middle: [1], long: [1, 10] });

describeReal('all is learned and nobody is charged', () => {
  it.each(TIMEOUTS)(
    'after each outage of rspamd and its Redis, with %i s for a post',
    { timeout: PATIENCE_MS },
    async (seconds) => {
      await using stage = await Stage.start(servers.rspamd, {
        RSPAMD_TIMEOUT_SECONDS: String(seconds),
      });
      for (const { name, begin, end, slow } of OUTAGES.filter(isChosen)) {
        await stage.warmUp();
        const before = stage.launch();
        await begin(servers);
        const fleet = stage.launch();
        try {
          await stage.daemon.until('pick all up', () => stage.spool.names('').length === 0);
          await stage.untilPaused(fleet);
          // a short one may be refused without Redis
          const learned = stage.endsOf(fleet).filter(({ event }) => event !== 'message.refused');
          expect(learned, name).toEqual([]);
          await probeBy(stage, fleet, slow === true ? 3 : 10);
        } finally {
          await end(servers); // the other tests need them
        }
        await stage.untilEnded(before);
        await stage.untilEnded(fleet);
        for (const each of [before, fleet]) {
          await stage.expectLearned(each);
          stage.expectNobodyCharged(each);
        }
        stage.expectFewLines(fleet, 30);
      }
      await stage.stop();
    },
  );
});

type Trouble = readonly [name: string, strike: (servers: RealServers) => unknown, times: number];

const TROUBLES = {
  killed: [
    "rspamd's controller is killed again and again",
    ({ rspamd }: RealServers) => rspamd.killWorker(),
    byLength({ short: 10, middle: 60, long: 500 }),
  ],
  forgetful: [
    'Redis is killed and started again and again',
    async ({ redis }: RealServers) => {
      await redis.kill();
      await redis.start();
    },
    byLength({ short: 3, middle: 10, long: 100 }),
  ],
  restarted: [
    'rspamd is restarted again and again',
    ({ rspamd }: RealServers) => rspamd.restart(),
    byLength({ short: 2, middle: 5, long: 50 }),
  ],
  frozen: [
    'rspamd is frozen and goes on again and again',
    async ({ rspamd }: RealServers) => {
      rspamd.freeze();
      await sleep(chance.below(1_500));
      rspamd.resume();
    },
    byLength({ short: 2, middle: 10, long: 100 }),
  ],
} as const satisfies Record<string, Trouble>;

/** In the short run one of those that are soon over. */
function chosenTroubles(): readonly Trouble[] {
  const all = Object.values(TROUBLES);
  const short = [chance.pick([TROUBLES.killed, TROUBLES.forgetful])];
  return byLength<readonly Trouble[]>({ short, middle: all, long: all });
}

describeReal('all is learned and nobody is set aside', () => {
  it.each(chosenTroubles())('while %s', { timeout: PATIENCE_MS }, async (_, strike, times) => {
    await using stage = await Stage.start(servers.rspamd);
    await stage.warmUp();
    const striking = (async (): Promise<void> => {
      for (let i = 0; i < times; i += 1) {
        await sleep(chance.below(150));
        await strike(servers);
      }
    })();
    let isOver = false;
    const over = striking.finally(() => {
      isOver = true;
    });
    const fleets: Fleet[] = [];
    const isRaging = (): boolean => !isOver;
    do {
      const fleet = stage.launch();
      fleets.push(fleet);
      await stage.untilEnded(fleet);
    } while (isRaging());
    await over;
    for (const fleet of fleets) await stage.expectLearned(fleet);
    await stage.stop();
  });
});
