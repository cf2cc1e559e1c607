import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { makeMessages } from '../../lab/messages.ts';
import type { ChildDaemon } from '../../faults/child-daemon.ts';
import { needsLoopDevice } from '../../support/needs.ts';
import { byLength } from '../../support/length.ts';
import { DiskWorld } from './world.ts';
import type { Layout } from './world.ts';

/**
 * File systems that are really full, out of inodes or read-only, under the built daemon: it says so
 * once, pauses, and has learned everything within ten seconds after the cause is gone.
 */

const MESSAGES = [...makeMessages('spam', 4), ...makeMessages('ham', 4)];
/** How long the fault goes on after it was said. */
const LASTS_MS = byLength({ short: 1_000, middle: 15_000, long: 130_000 });
const RECOVERY_MS = 10_000;
const TIMEOUT_MS = LASTS_MS + 120_000;

interface Case {
  readonly what: string;
  readonly layout: Layout;
  readonly code: string;
  readonly fail: (world: DiskWorld, daemon?: ChildDaemon) => void;
  readonly mend: (world: DiskWorld, daemon: ChildDaemon) => void;
}

const FULL: Omit<Case, 'layout'> = {
  what: 'full',
  code: 'ENOSPC',
  fail: ({ disk }) => {
    disk.fill();
  },
  mend: ({ disk }) => {
    disk.free();
  },
};
const NO_INODES: Omit<Case, 'layout'> = {
  ...FULL,
  what: 'out of inodes',
  fail: ({ disk }) => {
    disk.useUpInodes();
  },
};
const READ_ONLY: Omit<Case, 'layout'> = {
  what: 'read-only',
  code: 'EROFS',
  fail: ({ disk }) => {
    disk.remount('ro');
  },
  mend: ({ disk }) => {
    disk.remount('rw');
  },
};
const NO_DESCRIPTORS: Omit<Case, 'layout'> = {
  what: 'not to be reached for want of descriptors',
  code: 'EMFILE',
  fail: (_world, daemon) => {
    // Fewer than it has open already.
    limitDescriptors(daemon, 5);
  },
  mend: (_world, daemon) => {
    limitDescriptors(daemon, 1_000);
  },
};

const AT_START: readonly Case[] = [
  { ...FULL, layout: 'all of it' },
  { ...NO_INODES, layout: 'all of it' },
  { ...FULL, layout: 'the state dir' },
];
const RUNNING: readonly Case[] = [
  { ...FULL, layout: 'all of it' },
  { ...NO_INODES, layout: 'all of it' },
  { ...FULL, layout: 'the state dir' },
  { ...NO_INODES, layout: 'the state dir' },
  { ...READ_ONLY, layout: 'the drop directory' },
  { ...NO_DESCRIPTORS, layout: 'the state dir' },
];

function limitDescriptors(daemon: ChildDaemon | undefined, count: number): void {
  execFileSync('prlimit', ['--pid', String(daemon?.pid), `--nofile=${count}:`]);
}

/** The fault is met, goes on for a while, is mended, and is over. */
async function outlast(world: DiskWorld, daemon: ChildDaemon, { code, mend }: Case): Promise<void> {
  const { spool } = world;
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
  mend(world, daemon);
  const mendedAt = performance.now();
  await daemon.learns(MESSAGES.length);
  await daemon.until('say that all works again', () => faultyOf(daemon).length === 0);
  expect(performance.now() - mendedAt).toBeLessThan(RECOVERY_MS);
  expect(spool.quarantined).toEqual([]);
  expect(world.waiting).toEqual([]);
  expect(world.unarchived(MESSAGES)).toEqual([]);
  expect(daemon.logged('message.deferred')).toEqual([]);
  for (const { name } of MESSAGES) expect(daemon.logged('message.learned', name)).toHaveLength(1);
  // Learned, proven, and perhaps once more: what can't be put away isn't taught again and again.
  expect(world.server.posts.length).toBeLessThanOrEqual(3 * MESSAGES.length);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.stderr).toBe('');
}

/** How many lines say which fault of which place. */
function saidOf(daemon: ChildDaemon): Map<string, number> {
  const said = new Map<string, number>();
  for (const fields of daemon.logged('disk.fault')) {
    const what = `${String(fields['place'])} (${String(fields['code'])})`;
    said.set(what, (said.get(what) ?? 0) + 1);
  }
  return said;
}

/** Places whose last word is a fault. */
function faultyOf(daemon: ChildDaemon): string[] {
  const faulty = new Set<string>();
  for (const { event, fields } of daemon.lines) {
    if (event === 'disk.fault') faulty.add(String(fields['place']));
    if (event === 'disk.ok') faulty.delete(String(fields['place']));
  }
  return [...faulty];
}

const ARCHIVING = { LEARN_AFTER: 'archive' };

describe.concurrent('on a file system of its own', needsLoopDevice(), () => {
  test.for(AT_START)('$layout, $what from the start', { timeout: TIMEOUT_MS }, async (each) => {
    await using world = await DiskWorld.make(each.layout);
    await world.spool.write(...MESSAGES);
    each.fail(world);
    await outlast(world, world.start(ARCHIVING), each);
  });

  test.for(RUNNING)('$layout, $what all of a sudden', { timeout: TIMEOUT_MS }, async (each) => {
    await using world = await DiskWorld.make(each.layout);
    const daemon = world.start(ARCHIVING);
    await daemon.says('daemon.owner');
    daemon.signal('SIGSTOP');
    await world.spool.write(...MESSAGES);
    each.fail(world, daemon);
    daemon.signal('SIGCONT');
    await outlast(world, daemon, each);
  });

  test('what the kernel itself has made read-only', { timeout: TIMEOUT_MS }, async () => {
    await using world = await DiskWorld.make('all of it');
    const { disk, spool } = world;
    const daemon = world.start(ARCHIVING);
    await daemon.says('daemon.owner');
    daemon.signal('SIGSTOP');
    await spool.write(...MESSAGES);
    disk.abort();
    daemon.signal('SIGCONT');
    await daemon.says('disk.fault');
    await sleep(LASTS_MS);
    expect(spool.quarantined).toEqual([]);
    expect(daemon.logged('message.learned')).toEqual([]);
    expect(await daemon.stop()).toBe(0);
    disk.repair();
    await world.start(ARCHIVING).learns(MESSAGES.length);
    expect(world.waiting).toEqual([]);
    expect(world.unarchived(MESSAGES)).toEqual([]);
  });

  test('a spool that is mounted read-only is waited for', { timeout: TIMEOUT_MS }, async () => {
    const each: Case = { ...READ_ONLY, layout: 'all of it' };
    await using world = await DiskWorld.make(each.layout);
    const first = world.start();
    await first.says('daemon.owner');
    await first.stop();
    await world.spool.write(...MESSAGES);
    each.fail(world);
    await outlast(world, world.start(ARCHIVING), each);
  });
});
