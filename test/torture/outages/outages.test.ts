import { chmod } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Filter } from '../../../src/filter.ts';
import { PrivateSpamd } from '../../lab/private-spamd.ts';
import type { Settings } from '../../lab/daemon.ts';
import { makeMessage, regenerated } from '../../lab/messages.ts';
import { examine } from '../../support/examine.ts';
import { LENGTH } from '../../support/length.ts';
import { needsPrograms } from '../../support/needs.ts';
import { runCli } from '../../support/run-cli.ts';
import { StatusPages } from '../../support/status-pages.ts';
import { VERDICTS } from '../../../src/verdict.ts';
import { fuzzyFlagsOf, signalStorage, wrongLists } from '../../real/fuzzy-storage.ts';
import { World } from '../../real/world.ts';
import { until } from '../../support/until.ts';

const PATIENCE_MS = 60_000;
const FILTERS: readonly Filter[] = ['rspamd', 'spamassassin'];
/** Judged before the fault, and two of them turned in it. */
const BEFORE = 4;
/** Judged for the first time while it lasts. */
const MEANWHILE = 4;

interface Outage {
  /** Filters that can't learn. */
  readonly away: readonly Filter[];
  readonly begin: (servers: Servers) => unknown;
  readonly end: (servers: Servers) => unknown;
  /** What doctor says of a filter that is away; of an rspamd whose Redis is full it knows nothing. */
  readonly doctor?: RegExp | null;
  /** How long the daemon waits for an answer of spamd. @defaultValue 2 */
  readonly seconds?: number;
  /** rspamd has a fuzzy storage, which is taught as well. */
  readonly hasStorage?: true;
}

interface Servers {
  readonly world: World;
  readonly spamd: PrivateSpamd;
  /** What spamd's next start is like. */
  readonly spamdOptions: { allowTell: boolean; children: number };
}

const folderOf = (spamd: PrivateSpamd): string => dirname(spamd.bayesPath);

const OUTAGES: Readonly<Record<string, Outage>> = {
  'spamd is stopped': {
    away: ['spamassassin'],
    begin: ({ spamd }) => spamd.stop(),
    end: ({ spamd }) => spamd.start(),
    doctor: /connection refused/,
  },
  'spamd is frozen': {
    away: ['spamassassin'],
    begin: ({ spamd }) => spamd.freeze(),
    end: ({ spamd }) => spamd.resume(),
    doctor: /frozen/,
  },
  'spamd was started again without TELL': {
    away: ['spamassassin'],
    begin: async ({ spamd, spamdOptions }) => {
      spamdOptions.allowTell = false;
      await spamd.restart();
    },
    end: async ({ spamd, spamdOptions }) => {
      spamdOptions.allowTell = true;
      await spamd.restart();
    },
    doctor: /--allow-tell/,
  },
  'Bayes cannot be written': {
    away: ['spamassassin'],
    begin: ({ spamd }) => chmod(folderOf(spamd), 0o500),
    end: ({ spamd }) => chmod(folderOf(spamd), 0o700),
    doctor: /Bayes can't be written/,
  },
  'rspamd is stopped': {
    away: ['rspamd'],
    begin: ({ world }) => world.rspamd.stop(),
    end: ({ world }) => world.rspamd.start(),
    doctor: /refused/,
  },
  'Redis is full': {
    away: ['rspamd'],
    begin: ({ world }) => world.redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    end: ({ world }) => world.redis.command('CONFIG', 'SET', 'maxmemory', '0'),
    doctor: null,
  },
  'both are stopped': {
    away: FILTERS,
    begin: ({ world, spamd }) => Promise.all([world.rspamd.stop(), spamd.stop()]),
    end: ({ world, spamd }) => Promise.all([world.rspamd.start(), spamd.start()]),
    doctor: /refused/,
  },
};

/** Ten seconds a TELL: daemon and doctor need a child each, or one of them finds it busy. */
const LOCKED: Readonly<Record<string, Outage>> = {
  'a killed child of spamd left its lock': {
    away: ['spamassassin'],
    begin: async ({ spamd, spamdOptions }) => {
      spamdOptions.children = 2;
      await spamd.restart();
      for (const child of spamd.children()) process.kill(child, 'SIGKILL');
      // As the child has it while it learns.
      writeFileSync(`${spamd.bayesPath}.lock`, 'localhost 1\n');
    },
    end: async ({ spamd, spamdOptions }) => {
      await spamd.unlock();
      spamdOptions.children = 1;
      await spamd.restart();
    },
    doctor: /locked/,
    seconds: 30,
  },
};

/** A message that is turned takes two minutes and a half. */
const STORED: Readonly<Record<string, Outage>> = {
  'the fuzzy storage is frozen': {
    away: ['rspamd'],
    begin: ({ world }) => signalStorage(world, 'SIGSTOP'),
    end: ({ world }) => signalStorage(world, 'SIGCONT'),
    doctor: /fuzzy storage/,
    hasStorage: true,
  },
  'both are stopped, and with rspamd its fuzzy storage': {
    away: FILTERS,
    begin: ({ world, spamd }) => Promise.all([world.rspamd.stop(), spamd.stop()]),
    end: ({ world, spamd }) => Promise.all([world.rspamd.start(), spamd.start()]),
    doctor: /refused/,
    hasStorage: true,
  },
};

const CASES = Object.entries(LENGTH === 'short' ? OUTAGES : { ...OUTAGES, ...LOCKED, ...STORED });
const FLAGS = { spam: 11, ham: 13 };
const TIMEOUT_MS = 600_000;

describe('with both filters', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  const spamdOptions = { allowTell: true, children: 1 };
  let spamd: PrivateSpamd;
  let pages: StatusPages;

  beforeAll(async () => {
    spamd = await PrivateSpamd.start(spamdOptions);
    pages = await StatusPages.atFreePort();
  });

  afterAll(async () => {
    await spamd[Symbol.asyncDispose]();
  });

  it.each(CASES)(
    '%s: the other one learns on, and all is learned in the end',
    async (...named) => {
      const [, outage] = named;
      const fuzzyFlags = Object.values(FLAGS);
      const isStored = outage.hasStorage === true;
      await using world = await World.make(isStored ? { rspamd: { fuzzyFlags } } : {});
      await spamd.clear();
      const stage = new Stage({ world, spamd, spamdOptions }, outage, pages);
      stage.start();
      await stage.judge(0, BEFORE);
      await world.untilDone();
      await stage.expectBoth('ready');
      await outage.begin(stage.servers);
      try {
        await stage.judgeMeanwhile();
        await stage.untilTheOtherHasAll();
        await stage.expectAway();
        await world.daemon.kill();
        stage.start();
        await stage.expectAway();
      } finally {
        await outage.end(stage.servers);
      }
      await stage.expectAllLearned();
    },
    TIMEOUT_MS,
  );
});

class Stage {
  readonly servers: Servers;
  readonly #outage: Outage;
  readonly #pages: StatusPages;
  readonly #others: readonly Filter[];

  constructor(servers: Servers, outage: Outage, pages: StatusPages) {
    this.servers = servers;
    this.#outage = outage;
    this.#pages = pages;
    this.#others = FILTERS.filter((filter) => !outage.away.includes(filter));
  }

  start(): void {
    this.servers.world.start(this.#settings);
  }

  /** Judges messages for the first time, as spam and ham by turns. */
  async judge(firstSeed: number, count: number): Promise<void> {
    for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
      await this.servers.world.judge(
        regenerated(makeMessage(VERDICTS[seed % 2] ?? 'spam', seed), 0),
      );
    }
  }

  /** New messages, and two that were judged before, turned, with bytes of their own. */
  async judgeMeanwhile(): Promise<void> {
    const { world } = this.servers;
    await this.judge(BEFORE, MEANWHILE);
    await world.judge(regenerated(makeMessage('spam', 0), 1), 'ham');
    await world.judge(regenerated(makeMessage('ham', 1), 1), 'spam');
    await until('all are picked up', () => world.places('drop', 'staged').length === 0);
  }

  async untilTheOtherHasAll(): Promise<void> {
    const wanted = BEFORE + MEANWHILE + 2;
    for (const filter of this.#others) {
      await until(`${filter} has all`, () => this.#knownTo(filter) === wanted);
    }
  }

  /** By `/readyz`, `/status`, the command and doctor. */
  async expectAway(): Promise<void> {
    const { away, doctor } = this.#outage;
    await this.expectBoth('not ready');
    const environment = this.servers.world.environment(this.#settings);
    const { out } = await runCli(['status'], environment);
    const examination = await examine(environment);
    for (const filter of away) {
      const name = this.#nameOf(filter);
      expect(out).toContain(name);
      if (doctor === null) continue;
      const lines = examination.of(name);
      expect(lines.map(({ state }) => state).join()).toMatch(/failed|warning/);
      expect(lines.map(({ text }) => text).join('\n')).toMatch(doctor ?? /./);
    }
    for (const filter of this.#others) {
      const states = examination.of(this.#nameOf(filter)).map(({ state }) => state);
      expect(states, filter).not.toContain('failed');
    }
  }

  /** Those that are away aren't ready, and the others are. */
  async expectBoth(what: 'ready' | 'not ready'): Promise<void> {
    const away = what === 'ready' ? [] : this.#outage.away;
    let seen = '';
    const isSo = async (): Promise<boolean> => {
      const ready = await this.#pages.get('/readyz').catch(() => undefined);
      if (ready === undefined) return false;
      const { controllers } = await this.#pages.report();
      seen = ready.text + JSON.stringify(controllers);
      const isNamed = (filter: Filter): boolean => ready.text.includes(this.#nameOf(filter));
      return (
        ready.status === (away.length === 0 ? 200 : 503) &&
        controllers.every((each) => each.ready !== away.includes(each.trainer)) &&
        FILTERS.every((filter) => isNamed(filter) === away.includes(filter))
      );
    };
    await until(`it is ${what}`, isSo).catch((cause: unknown) => {
      throw new Error(`${what} is not what is said: ${seen}`, { cause });
    });
  }

  /** By the filters' own counters; nobody was charged, nothing was posted twice. */
  async expectAllLearned(): Promise<void> {
    const { world, spamd } = this.servers;
    const { hasStorage = false } = this.#outage;
    const end = performance.now() + (hasStorage ? TIMEOUT_MS : PATIENCE_MS);
    while (world.waiting.length > 0 && performance.now() < end) {
      world.daemon.signal('SIGHUP');
      await sleep(100);
    }
    expect(world.waiting).toEqual([]);
    expect(world.quarantined).toEqual([]);
    const { spam, ham } = await spamd.counts();
    const half = (BEFORE + MEANWHILE) / 2;
    expect([spam, ham]).toEqual([half, half]);
    // rspamd may take a turned message with another boundary for a new one.
    const counted = await world.redis.bayesCounts();
    const inRspamd = [counted.spam, counted.ham];
    expect(Math.min(...inRspamd)).toBeGreaterThanOrEqual(half);
    expect(Math.max(...inRspamd)).toBeLessThanOrEqual(half + 1);
    expect(await world.forgotten()).toEqual([]);
    if (hasStorage) expect(await wrongLists(world, FLAGS, world.sent.values())).toEqual([]);
    for (const filter of this.#others) {
      expect(this.#knownTo(filter), filter).toBe(BEFORE + MEANWHILE + 2);
    }
    const lines = world.daemons.flatMap((daemon) => daemon.logged('message.deferred'));
    expect(lines.filter(({ charges }) => Number(charges) > 0)).toEqual([]);
    await this.expectBoth('ready');
  }

  get #settings(): Settings {
    const { port } = this.servers.spamd;
    return {
      LEARN_TRAINERS: FILTERS.join(),
      SPAMD_URL: `spamd://127.0.0.1:${port}`,
      SPAMD_TIMEOUT_SECONDS: String(this.#outage.seconds ?? 2),
      STATUS_LISTEN: this.#pages.listen,
      ...(this.#outage.hasStorage === true && { RSPAMD_FUZZY_FLAGS: fuzzyFlagsOf(FLAGS) }),
    };
  }

  #nameOf(filter: Filter): string {
    const { world, spamd } = this.servers;
    return filter === 'rspamd' ? world.rspamd.url : `spamd://127.0.0.1:${spamd.port}`;
  }

  /** How often it has said so of any message. */
  #knownTo(filter: Filter): number {
    return this.servers.world.daemons
      .flatMap((daemon) => [
        ...daemon.logged('message.learned'),
        ...daemon.logged('message.duplicate'),
      ])
      .filter(({ trainer }) => trainer === filter).length;
  }
}
