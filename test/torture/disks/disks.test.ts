import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { DaemonSpool } from '../../support/daemon-spool.ts';
import { FaultServer } from '../../faults/fault-server.ts';
import { plays } from '../../faults/plays.ts';
import type { Daemon } from '../../lab/daemon.ts';
import { makeMessages } from '../../lab/messages.ts';
import { byLength } from '../../support/length.ts';
import { needsLoopDevice } from '../../support/needs.ts';
import { faultyPlaces, filesOf, holds, told } from '../../support/spool-files.ts';
import { SmallDisk } from './small-disk.ts';

/**
 * File systems that are really full, out of inodes or read-only, under the built daemon: it says so
 * once, pauses, and has learned everything after the cause is gone. (Within which time the suite of
 * the system calls shows, on a clock of its own.)
 */

const MESSAGES = [...makeMessages('spam', 4), ...makeMessages('ham', 4)];
/** How long the fault goes on after it was said. */
const LASTS_MS = byLength({ short: 1_000, middle: 7_000, long: 130_000 });
const TIMEOUT_MS = LASTS_MS + 120_000;

/** What lies on the small file system. */
type Layout = 'all of it' | 'the state dir' | 'the drop directory';
type Act = (disk: SmallDisk, daemon?: Daemon) => void;

const STATE_DIRS: Readonly<Record<Layout, string | undefined>> = {
  'all of it': undefined,
  'the state dir': 'small/state',
  'the drop directory': 'state',
};

interface Fault {
  readonly code: string;
  readonly fail: Act;
  readonly mend: Act;
}

/** What changes a whole disk. */
type Change = 'fill' | 'free' | 'useUpInodes' | 'makeReadOnly' | 'makeWritable';

function onDisk(code: string, fail: Change, mend: Change): Fault {
  const act =
    (name: Change): Act =>
    (disk) =>
      disk[name]();
  return { code, fail: act(fail), mend: act(mend) };
}

function limit(count: number): Act {
  return (_, daemon) =>
    execFileSync('prlimit', ['--pid', String(daemon?.pid), `--nofile=${count}:`]);
}

const FAULTS = {
  full: onDisk('ENOSPC', 'fill', 'free'),
  'out of inodes': onDisk('ENOSPC', 'useUpInodes', 'free'),
  'read-only': onDisk('EROFS', 'makeReadOnly', 'makeWritable'),
  // Fewer than it has open already.
  'without a descriptor left': { code: 'EMFILE', fail: limit(5), mend: limit(1_000) },
};

type When = 'from the start' | 'from its second start' | 'all of a sudden';

const CASES: readonly (readonly [Layout, keyof typeof FAULTS, When])[] = [
  ['all of it', 'full', 'from the start'],
  ['all of it', 'out of inodes', 'from the start'],
  ['all of it', 'read-only', 'from its second start'],
  ['the state dir', 'full', 'from the start'],
  ['all of it', 'full', 'all of a sudden'],
  ['all of it', 'out of inodes', 'all of a sudden'],
  ['the state dir', 'full', 'all of a sudden'],
  ['the state dir', 'out of inodes', 'all of a sudden'],
  ['the drop directory', 'read-only', 'all of a sudden'],
  ['the state dir', 'without a descriptor left', 'all of a sudden'],
];

/** A spool, a controller that learns, and a small disk below one of its parts. */
class DiskWorld implements AsyncDisposable {
  readonly spool: DaemonSpool;
  readonly server: FaultServer;
  readonly disk: SmallDisk;

  private constructor(server: FaultServer, layout: Layout) {
    this.server = server;
    this.spool = new DaemonSpool({ stateDir: STATE_DIRS[layout] });
    const { folder, lib } = this.spool;
    this.disk = new SmallDisk(layout === 'the state dir' ? join(folder, 'small') : lib);
    this.spool.makeFolders();
  }

  static async make(layout: Layout): Promise<DiskWorld> {
    return new DiskWorld(await FaultServer.start({ play: plays() }), layout);
  }

  start(): Promise<Daemon> {
    return this.spool.spawn({
      RSPAMD_URL: this.server.url,
      LEARN_MAX_ATTEMPTS: '2',
      LEARN_AFTER: 'archive',
    });
  }

  /** Everything is in the archive, byte for byte and once, and nothing else is left. */
  expectArchived(): void {
    const files = filesOf(this.spool);
    const archived = files.filter(({ room }) => room === 'archive');
    expect(files.filter((file) => !archived.includes(file)).map(told)).toEqual([]);
    expect(archived).toHaveLength(MESSAGES.length);
    for (const { verdict, name, raw } of MESSAGES) {
      const copy = archived.find((file) => file.name === name && file.place.startsWith(verdict));
      expect(copy !== undefined && holds(copy, raw), name).toBe(true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool.kill();
    this.disk.unmount();
    await this.spool[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

/** How many lines say which fault of which place. */
function saidOf(daemon: Daemon): Map<string, number> {
  const said = new Map<string, number>();
  for (const fields of daemon.logged('disk.fault')) {
    const what = `${String(fields['place'])} (${String(fields['code'])})`;
    said.set(what, (said.get(what) ?? 0) + 1);
  }
  return said;
}

/** Starts a daemon that meets the fault, as long as there are messages. */
async function startInto(world: DiskWorld, fail: Act, when: When): Promise<Daemon> {
  const { spool, disk } = world;
  const first = when === 'from the start' ? undefined : await world.start();
  await first?.says('daemon.owner');
  if (when === 'from its second start') await first?.stop();
  else first?.signal('SIGSTOP');
  await spool.judgeAll(...MESSAGES);
  fail(disk, first);
  if (first?.running !== true) return world.start();
  first.signal('SIGCONT');
  return first;
}

describe.concurrent('on a file system of its own', needsLoopDevice(), () => {
  test.for(CASES)('%s, %s %s', { timeout: TIMEOUT_MS }, async ([layout, what, when]) => {
    await using world = await DiskWorld.make(layout);
    const { code, fail, mend } = FAULTS[what];
    const daemon = await startInto(world, fail, when);
    await daemon.until(`say ${code}`, () =>
      daemon.logged('disk.fault').some((fields) => fields['code'] === code),
    );
    await sleep(LASTS_MS);
    expect(daemon.running).toBe(true);
    const minutes = 1 + Math.floor(LASTS_MS / 60_000);
    for (const [place, lines] of saidOf(daemon)) {
      expect(lines, `lines about ${place}`).toBeLessThanOrEqual(minutes);
    }
    expect(daemon.logged('message.learned')).toEqual([]);
    mend(world.disk, daemon);
    await daemon.learns(MESSAGES.length);
    await daemon.until('say that all works again', () => faultyPlaces(daemon.lines).length === 0);
    world.expectArchived();
    expect(daemon.logged('message.deferred')).toEqual([]);
    for (const { name } of MESSAGES) expect(daemon.logged('message.learned', name)).toHaveLength(1);
    // Learned, proven, and perhaps once more: what can't be put away isn't taught again and again.
    expect(world.server.posts.length).toBeLessThanOrEqual(3 * MESSAGES.length);
    expect(await daemon.stop()).toBe(0);
    expect(daemon.stderr).toBe('');
  });

  test('what the kernel itself has made read-only', { timeout: TIMEOUT_MS }, async () => {
    await using world = await DiskWorld.make('all of it');
    const { disk, spool } = world;
    const abort = (): void => disk.abort();
    const daemon = await startInto(world, abort, 'all of a sudden');
    await daemon.says('disk.fault');
    await sleep(LASTS_MS);
    expect(spool.quarantined).toEqual([]);
    expect(daemon.logged('message.learned')).toEqual([]);
    expect(await daemon.stop()).toBe(0);
    disk.repair();
    await (await world.start()).learns(MESSAGES.length);
    world.expectArchived();
  });
});
