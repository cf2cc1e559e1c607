import { execFileSync } from 'node:child_process';
import { mkdirSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateRedis } from '../../../src/servers/private-redis.ts';
import type { FaultRequest } from '../../faults/fault-server.ts';
import { CLOSES, RESETS, SILENCE, messageIdOf } from '../../faults/plays.ts';
import type { Daemon, Settings } from '../../lab/daemon.ts';
import { World } from '../../real/world.ts';
import { until } from '../../support/until.ts';
import { byLength } from '../../support/length.ts';
import { SMALL_HEAP } from '../../support/run.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { StatusPages } from '../../support/status-pages.ts';
import { canMount } from '../../support/temporary.ts';
import { preload } from '../preload.ts';
import { FaultProxy, insteadOf } from '../proxy.ts';
import type { Fault } from '../proxy.ts';
import { Users } from '../users.ts';
import { Gauge } from './gauge.ts';
import { SoakLog } from './log.ts';
import { Pulse } from './pulse.ts';

/**
 * A mail server in service: Redis, rspamd behind a wire that can be bad, the users, and the built
 * daemon with its status shown, its log read by somebody, and a probe in it.
 */
export type Place = 'beside the spool' | 'on a disk of its own';
export type Wire = 'good' | 'refuses' | 'hangs' | 'cuts';

/** Three times what comes in during the longest outage. */
const MOST_WAITING = 1_000;
/**
 * In the shorter forms V8 would still be at finding out how the code is used, and that takes memory
 * too: it is to keep what it knows, and to know it at the first call.
 */
const SETTLED_CODE = byLength({
  short: ['--no-flush-bytecode', '--no-lazy-feedback-allocation'],
  middle: ['--no-flush-bytecode', '--no-lazy-feedback-allocation'],
  long: [],
});
/** Room for the archive of the longest run. */
const DISK_MB = 1_024;

/** A small file system that can be full. */
class Disk {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'tmpfs', folder]);
  }

  /** Takes away what is free; nothing on it changes. */
  fill(): void {
    for (let tries = 0; tries < 50; tries += 1) {
      const { blocks, bfree, bsize } = statfsSync(this.#folder);
      try {
        // A size of 0 would be no limit.
        this.#resize(`${Math.max(1, blocks - bfree) * bsize}`);
        return;
      } catch {
        // The daemon was quicker: more is in use by now.
      }
    }
    throw new Error('the disk is not to be filled');
  }

  free(): void {
    this.#resize(`${DISK_MB}m`);
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.#folder]);
  }

  #resize(size: string): void {
    const options = ['-o', `remount,size=${size}`, this.#folder];
    execFileSync('mount', options, { stdio: 'ignore' });
  }
}

interface Parts {
  readonly world: World;
  readonly disk: Disk | undefined;
  readonly proxy: FaultProxy;
  readonly log: SoakLog;
  readonly pages: StatusPages;
  readonly daemon: Daemon;
}

export class SoakWorld implements AsyncDisposable {
  readonly world: World;
  readonly disk: Disk | undefined;
  readonly log: SoakLog;
  readonly users: Users;
  readonly pages: StatusPages;
  readonly pulse: Pulse;
  readonly daemon: Daemon;
  readonly gauge: Gauge;
  /** How the way to the controller is. */
  wire: Wire = 'good';
  /** Message-IDs that crash whatever they are sent to, and the names of their files. */
  readonly poison = new Map<string, string>();
  readonly #proxy: FaultProxy;

  private constructor(parts: Parts, chance: Chance) {
    const { world, daemon } = parts;
    this.world = world;
    this.disk = parts.disk;
    this.log = parts.log;
    this.daemon = daemon;
    this.pages = parts.pages;
    this.pulse = new Pulse(parts.pages);
    this.gauge = new Gauge(daemon.pid, join(world.folder, 'probe'));
    // What goes on at the same time has chances of its own, or none would come again.
    const forWire = chanceOf(chance.below(2 ** 31));
    this.#proxy = parts.proxy;
    this.#proxy.script = (request) => this.#harm(request, forWire);
    this.users = new Users({
      spool: world,
      chance: chanceOf(chance.below(2 ** 31)),
      perSecond: 50,
      flips: 0.05,
      repeats: 0.02,
      tooShort: 0.01,
      recent: 150,
      onlyTaken: true,
      isBehind: () => world.waiting.length > MOST_WAITING,
    });
  }

  static async make(place: Place, chance: Chance): Promise<SoakWorld> {
    const isApart = place === 'on a disk of its own';
    const isOnDisk = isApart && canMount;
    const world = await World.make({
      persistence: 'always',
      elsewhere: isApart && !canMount,
      ...(isOnDisk && { stateDir: 'disk/state' }),
    });
    await flushLazily(world.redis);
    const disk = isOnDisk ? new Disk(join(world.folder, 'disk')) : undefined;
    const log = new SoakLog(join(world.folder, 'log'));
    const proxy = await FaultProxy.start({ target: world.rspamd.controllerPort, records: false });
    const pages = await StatusPages.atFreePort();
    const daemon = await startDaemon(world, {
      RSPAMD_URL: proxy.url,
      STATUS_LISTEN: pages.listen,
      LEARN_AFTER: isApart ? 'archive' : 'remove',
      LOG_PIPE: log.path,
      PROBE_FILE: join(world.folder, 'probe'),
    });
    await pages.untilShown();
    return new SoakWorld({ world, disk, proxy, log, pages, daemon }, chance);
  }

  /** Waits until nothing waits, on disk or in memory. */
  async untilDrained(): Promise<void> {
    const poisonous = new Set(this.poison.values());
    const isDrained = async (): Promise<boolean> => {
      const { waiting } = this.world;
      if (waiting.length > 0 && waiting.every((place) => poisonous.has(basename(place)))) {
        // Only other messages show whose fault a missing answer is, and nobody writes any now.
        await this.users.write(1);
        this.daemon.signal('SIGHUP');
        await sleep(1_000);
      }
      return waiting.length === 0;
    };
    await until('everything is learned', isDrained, 300_000);
    await until('nothing is in memory', async () => {
      const { deferred, inFlight } = await this.pages.report();
      return deferred === 0 && inFlight === 0;
    });
  }

  #harm(request: FaultRequest | undefined, chance: Chance): Fault | undefined {
    if (request === undefined) {
      return this.wire === 'refuses' ? { kind: 'intrusion', reads: 0, act: RESETS } : undefined;
    }
    if (this.wire === 'hangs') return insteadOf(SILENCE);
    if (this.poison.has(messageIdOf(request.body))) return insteadOf(CLOSES);
    if (this.wire !== 'cuts') return undefined;
    const left = chance.below(200);
    const says = (answer: Buffer) => ({ pieces: [answer.subarray(0, left)], then: 'end' }) as const;
    return { kind: 'exchange', hears: () => Infinity, says };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.users.stop();
    await this.pulse[Symbol.asyncDispose]();
    this.log.resume();
    await this.daemon.stop();
    this.log.close();
    await this.#proxy[Symbol.asyncDispose]();
    this.disk?.unmount();
    await this.world[Symbol.asyncDispose]();
  }
}

function startDaemon(world: World, settings: Settings): Promise<Daemon> {
  const all = {
    RSPAMD_TIMEOUT_SECONDS: '2',
    LEARN_SWEEP_SECONDS: '5',
    // Less than comes in while rspamd is away: the rest waits on disk.
    LEARN_BACKLOG: '100',
    LEARN_MAX_ATTEMPTS: '3',
    SHUTDOWN_SECONDS: '5',
    ...settings,
  };
  const flags = ['--expose-gc', ...SETTLED_CODE, ...SMALL_HEAP, ...preload('soak/probe.ts')];
  return world.spawn(all, ['/bin/sh', '-c', 'exec "$@" > "$LOG_PIPE"', 'sh'], flags);
}

/** Redis ends only in order here: that it flushes each learned word to the disk is too much. */
export async function flushLazily(redis: PrivateRedis): Promise<void> {
  await redis.command('CONFIG', 'SET', 'appendfsync', 'everysec');
}
