import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DaemonProcess } from '../../lab/daemon-process.ts';
import type { PrivateRedis } from '../../../src/servers/private-redis.ts';
import { freePort } from '../../../src/servers/ports.ts';
import { program, secondFolder } from '../../support/run.ts';
import { World, until } from '../../real/world.ts';
import { byLength } from '../../support/length.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { canMount } from '../../support/temporary.ts';
import { preload } from '../preload.ts';
import { Gauge } from './gauge.ts';
import { SoakLog } from './log.ts';
import { SoakProxy } from './proxy.ts';
import { Pulse } from './pulse.ts';
import { Traffic } from './traffic.ts';

/**
 * A mail server in service: Redis, rspamd behind a wire that can be bad, the writer, and the built
 * daemon with its status shown, its log read by somebody, and a probe in it.
 */
export type Place = 'beside the spool' | 'on a disk of its own';

const PER_SECOND = 50;
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
export class Disk {
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

export class SoakWorld {
  readonly world: World;
  readonly stateDir: string;
  readonly disk: Disk | undefined;
  readonly proxy: SoakProxy;
  readonly log: SoakLog;
  readonly traffic: Traffic;
  readonly pulse: Pulse;
  readonly daemon: DaemonProcess;
  readonly pid: number;
  readonly gauge: Gauge;
  readonly #shared: string | undefined;

  private constructor(parts: {
    world: World;
    stateDir: string;
    disk: Disk | undefined;
    shared: string | undefined;
    proxy: SoakProxy;
    log: SoakLog;
    daemon: DaemonProcess;
    pulse: Pulse;
    chance: Chance;
  }) {
    const { world, daemon, chance } = parts;
    this.world = world;
    this.stateDir = parts.stateDir;
    this.disk = parts.disk;
    this.#shared = parts.shared;
    this.proxy = parts.proxy;
    this.log = parts.log;
    this.daemon = daemon;
    this.pulse = parts.pulse;
    this.pid = daemon.pid ?? 0;
    this.gauge = new Gauge(this.pid, join(world.folder, 'probe'));
    const { lib } = world;
    const isBehind = (): boolean => this.waiting().length > MOST_WAITING;
    this.traffic = new Traffic({ lib, writer: world, chance, perSecond: PER_SECOND, isBehind });
  }

  static async make(place: Place, chance: Chance): Promise<SoakWorld> {
    const world = await World.make({ persistence: 'always' });
    await flushLazily(world.redis);
    const isApart = place === 'on a disk of its own';
    const disk = isApart && canMount ? new Disk(join(world.folder, 'disk')) : undefined;
    const shared =
      isApart && !canMount ? mkdtempSync(join(secondFolder(), 'learnd-soak-')) : undefined;
    const apart = disk === undefined ? shared : join(world.folder, 'disk');
    const stateDir = apart === undefined ? world.stateDir : join(apart, 'state');
    const log = new SoakLog(join(world.folder, 'log'));
    // What goes on at the same time has chances of its own, or none would come again.
    const [forProxy, forTraffic] = [
      chanceOf(chance.below(2 ** 31)),
      chanceOf(chance.below(2 ** 31)),
    ];
    const proxy = await SoakProxy.start(world.rspamd.controllerPort, forProxy);
    const statusListen = `127.0.0.1:${await freePort()}`;
    const daemon = await startDaemon(world, {
      LEARN_STATE_DIR: stateDir,
      RSPAMD_URL: proxy.url,
      STATUS_LISTEN: statusListen,
      LEARN_AFTER: isApart ? 'archive' : 'remove',
      LOG_PIPE: log.path,
      PROBE_FILE: join(world.folder, 'probe'),
    });
    const pulse = new Pulse(statusListen);
    await until('the status is shown', 20_000, () => pulse.isShown());
    return new SoakWorld({
      world,
      stateDir,
      disk,
      shared,
      proxy,
      log,
      daemon,
      pulse,
      chance: forTraffic,
    });
  }

  /** Files in the drop directory and the queue, staged ones included. */
  waiting(): readonly string[] {
    const { lib } = this.world;
    const queue = join(this.stateDir, 'queue');
    return [lib, queue].flatMap((place) =>
      ['spam', 'ham'].flatMap((verdict) =>
        namesIn(join(place, verdict))
          .filter((name) => !name.startsWith('.') || name.startsWith('.learnd-'))
          .map((name) => join(place, verdict, name)),
      ),
    );
  }

  /** Those half-way to a state dir on another file system. */
  get staged(): readonly string[] {
    return this.waiting().filter((path) => basename(path).startsWith('.learnd-'));
  }

  /** Waits until nothing waits, on disk or in memory. */
  async untilDrained(): Promise<void> {
    await until('everything is learned', 300_000, () => this.waiting().length === 0);
    await until('nothing is in memory', 60_000, async () => {
      const { deferred, inFlight } = await this.pulse.report();
      return deferred === 0 && inFlight === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.traffic.stop();
    await this.pulse[Symbol.asyncDispose]();
    this.log.resume();
    await this.daemon.stop();
    this.log.close();
    await this.proxy[Symbol.asyncDispose]();
    this.disk?.unmount();
    if (this.#shared !== undefined) rmSync(this.#shared, { recursive: true, force: true });
    await this.world[Symbol.asyncDispose]();
  }
}

/** As the first lines of the bundle have them. */
const SMALL_HEAP = ['--max-semi-space-size=4', '--heap-growing-percent=40'];

async function startDaemon(
  world: World,
  settings: Readonly<Record<string, string>>,
): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start({
    command: [
      '/bin/sh',
      ...['-c', 'exec "$@" > "$LOG_PIPE"', 'sh'],
      ...[
        process.execPath,
        '--expose-gc',
        ...SETTLED_CODE,
        ...SMALL_HEAP,
        ...preload('soak/probe.ts'),
      ],
      ...[program(), 'watch'],
    ],
    settings: {
      KOPANO_SPAMD_LIB: world.lib,
      RSPAMD_TIMEOUT_SECONDS: '2',
      LEARN_SWEEP_SECONDS: '5',
      // Less than comes in while rspamd is away: the rest waits on disk.
      LEARN_BACKLOG: '100',
      LEARN_MAX_ATTEMPTS: '3',
      ...settings,
    },
    searchPath: process.env['PATH'] ?? '',
    folder: world.folder,
  });
  world.daemons.push(daemon);
  return daemon;
}

/** Redis ends only in order here: that it flushes each learned word to the disk is too much. */
export async function flushLazily(redis: PrivateRedis): Promise<void> {
  await redis.command('CONFIG', 'SET', 'appendfsync', 'everysec');
}

/** Nothing, where a folder is missing for the moment. */
function namesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
