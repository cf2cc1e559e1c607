import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeMessage } from '../../lab/messages.ts';
import type { PrivateRedis } from '../../../src/servers/private-redis.ts';
import { until } from '../../support/until.ts';
import type { Chance } from '../../support/seed.ts';
import { flushLazily } from './world.ts';
import type { SoakWorld, Wire } from './world.ts';

/**
 * What goes wrong in a mail server's life. Each fault lasts a moment and is over, cause and all,
 * when its function resolves; what the daemon makes of it takes as long as it takes.
 */
type Fault = (soak: SoakWorld, ms: number, chance: Chance) => Promise<void>;

/** Seeds of poison messages, far from the traffic's. */
const POISON_SEED = 10_000_000;
/** As many as may visit at a time are 64. */
const VISITORS = 30;
/** Messages that come while the disk is full. */
const STAGED = 5;

const FAULTS = {
  'rspamd is restarted': async ({ world }) => {
    await world.rspamd.restart();
  },
  'rspamd is frozen': async ({ world }, ms) => {
    world.rspamd.freeze();
    await sleep(ms);
    world.rspamd.resume();
  },
  "rspamd's worker is killed": ({ world }) => {
    world.rspamd.killWorker();
    return Promise.resolve();
  },
  'Redis is stopped': async ({ world }, ms) => {
    await world.redis.stop();
    await sleep(ms);
    await startAgain(world.redis);
  },
  'Redis is frozen': async ({ world }, ms) => {
    world.redis.freeze();
    await sleep(ms);
    world.redis.resume();
  },
  'Redis is out of memory': async ({ world }, ms) => {
    await world.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    await sleep(ms);
    await world.redis.command('CONFIG', 'SET', 'maxmemory', '0');
  },
  'the wire refuses': (soak, ms) => withWire(soak, 'refuses', ms),
  'the wire hangs': (soak, ms) => withWire(soak, 'hangs', ms),
  'the wire cuts answers off': (soak, ms) => withWire(soak, 'cuts', ms),
  'a message crashes the worker': async (soak, ms, chance) => {
    const poison = makeMessage('spam', POISON_SEED + chance.below(1_000_000_000));
    soak.poison.set(poison.messageId, poison.name);
    await soak.users.judge(poison);
    await sleep(ms);
  },
  'a class folder is replaced': (soak, _ms, chance) =>
    soak.users.without(() => replaceFolder(soak, chance)),
  'the state dir is replaced': (soak) => soak.users.without(() => replaceStateDir(soak)),
  'the disk is full': async ({ disk }, ms) => {
    disk?.fill();
    await sleep(ms);
    disk?.free();
  },
  'there is junk in the drop directory': async ({ world }, ms) => {
    const at = (name: string): string => join(world.lib, 'spam', name);
    const paths = ['link', 'line\nbreak', 'fifo', 'folder', 'empty', '.hidden'].map(at);
    symlinkSync('/etc/passwd', at('link'));
    symlinkSync('/nowhere', at('line\nbreak'));
    execFileSync('mkfifo', [at('fifo')]);
    mkdirSync(at('folder'));
    writeFileSync(at('empty'), '');
    writeFileSync(at('.hidden'), 'not a message');
    await sleep(ms);
    for (const path of paths) rmSync(path, { recursive: true, force: true });
  },
  'bad visitors come to the status port': async ({ pulse }, ms) => {
    pulse.visit(VISITORS);
    await sleep(ms);
    await pulse.dismiss();
  },
  'the log is read late': async ({ log }, ms) => {
    log.pause();
    await sleep(ms);
    log.resume();
  },
  'somebody sends SIGHUP': async ({ daemon }) => {
    for (let i = 0; i < 3; i += 1) {
      daemon.signal('SIGHUP');
      await sleep(20);
    }
  },
  'the daemon is frozen': async ({ daemon }, ms) => {
    daemon.signal('SIGSTOP');
    await sleep(ms);
    daemon.signal('SIGCONT');
  },
} as const satisfies Readonly<Record<string, Fault>>;

type FaultName = keyof typeof FAULTS;

export class Faults {
  /** What has happened, the oldest first. */
  readonly happened: FaultName[] = [];
  readonly #soak: SoakWorld;
  readonly #chance: Chance;
  readonly #options: FaultTimes;
  #deck: FaultName[] = [];

  constructor(soak: SoakWorld, chance: Chance, options: FaultTimes) {
    this.#soak = soak;
    this.#chance = chance;
    this.#options = options;
  }

  /** Lets one happen. */
  async happen(fault: FaultName): Promise<void> {
    const { shortestMs, longestMs } = this.#options;
    const lasts = shortestMs + this.#chance.below(longestMs - shortestMs);
    this.happened.push(fault);
    await FAULTS[fault](this.#soak, lasts, this.#chance);
  }

  /** Lets one after the other happen for so long; each happens once before any happens again. */
  async run(ms: number): Promise<void> {
    const end = performance.now() + ms;
    const { everyMs, shortestMs } = this.#options;
    for (;;) {
      const start = performance.now();
      if (start >= end) return;
      await this.happen(this.#draw());
      const next = Math.max(start + everyMs, performance.now() + shortestMs);
      await sleep(Math.max(0, Math.min(next, end) - performance.now()));
    }
  }

  #draw(): FaultName {
    if (this.#deck.length === 0) {
      this.#deck = (Object.keys(FAULTS) as FaultName[]).filter((name) => {
        if (name === NEW_TENURE) return false;
        return name !== FULL_DISK || this.#soak.disk !== undefined;
      });
    }
    const [drawn] = this.#deck.splice(this.#chance.below(this.#deck.length), 1);
    if (drawn === undefined) throw new Error('no fault is left');
    return drawn;
  }
}

const FULL_DISK: FaultName = 'the disk is full';
/** Not drawn: most of what piled up so far would be gone with the old tenure. */
export const NEW_TENURE: FaultName = 'the state dir is replaced';

interface FaultTimes {
  /** From the beginning of one to that of the next, unless it takes longer. */
  readonly everyMs: number;
  readonly shortestMs: number;
  readonly longestMs: number;
}

/** Moved away, made again at once or when it is missed, and what was in it put back. */
async function replaceFolder({ world, gauge }: SoakWorld, chance: Chance): Promise<void> {
  const verdict = chance.pick(['spam', 'ham'] as const);
  const folder = join(world.lib, verdict);
  const away = join(world.folder, `${verdict}-away`);
  renameSync(folder, away);
  if (chance.below(2) === 0) world.makeFolders();
  await until('the daemon lets go of the old one', async () => {
    return !(await gauge.holds(away));
  });
  world.makeFolders();
  for (const name of await readdir(away)) {
    // What was half-way to another file system is an ordinary message again.
    await rename(join(away, name), join(folder, name.replace(/^\.learnd-/, '')));
  }
  await rmdir(away);
}

/**
 * Only when its queue is empty: whoever takes it away with messages in it has them. What lies staged
 * for it, because its disk is full, is for the next one.
 */
async function replaceStateDir(soak: SoakWorld): Promise<void> {
  const { world, users, log, disk } = soak;
  await soak.untilDrained();
  disk?.fill();
  if (disk !== undefined) await users.write(STAGED);
  if (disk !== undefined) await until('some are staged', () => world.places('staged').length > 0);
  const owned = log.count('daemon.owner');
  renameSync(world.stateDir, `${world.stateDir}-${owned}`);
  disk?.free();
  await until('the daemon has a new state dir', () => {
    return log.count('daemon.owner') > owned;
  });
}

/** It reads its log of up to 100 MB, on a busy machine for longer than its own start waits. */
async function startAgain(redis: PrivateRedis): Promise<void> {
  await redis.start().catch(async (error: unknown) => {
    if (!redis.running) throw error;
    await until('Redis answers', () =>
      redis.command('PING').then(
        (reply) => reply === 'PONG',
        () => false,
      ),
    );
  });
  await flushLazily(redis);
}

async function withWire(soak: SoakWorld, wire: Wire, ms: number): Promise<void> {
  soak.wire = wire;
  await sleep(ms);
  soak.wire = 'good';
}
