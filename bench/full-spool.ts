/**
 * A spool that is full when the daemon starts, and the peers on the same files: a bare loop that
 * lists, lstats and renames (the floor), the same with the looks that the laws need, and chokidar with
 * its defaults (the obvious way).
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, opendirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until, withChildren } from './children.ts';
import type { Children } from './children.ts';
import { makeMessageFiles } from './message-files.ts';
import { memoryOf, watchesOf } from './process-figures.ts';

const LATE_POLL_MS = 50;
/** A file that isn't picked up by then is given up. */
const LATE_PATIENCE_MS = 120_000;

/** What one backlog came to; MB are of peak resident memory. */
export interface FullSpoolFigures {
  readonly count: number;
  readonly floor: { readonly ms: number; readonly mb: number };
  /** The looks that the laws need, and nothing else. */
  readonly lawsMs: number;
  /** `undefined` where the system doesn't allow as many watches, or chokidar failed. */
  readonly chokidar:
    { readonly ms: number; readonly mb: number; readonly watches: number } | undefined;
  readonly daemon: {
    /** From its start until the class folders were empty. */
    readonly pickupMs: number;
    readonly pickupMb: number;
    readonly firstLearnedMs: number;
    /** How long a file that came after the rush waited to be picked up. */
    readonly lateMs: number;
    /** Including some learning. */
    readonly mb: number;
    readonly watches: number;
    readonly learnedPerSecond: number;
  };
}

interface FullSpoolOptions {
  readonly count: number;
  /** How long the daemon learns after the pickup, at least. */
  readonly learnMs: number;
  readonly profile: string | undefined;
  /** Another build of the daemon. */
  readonly program?: string;
}

/** Makes the files, runs the peers and the daemon one after the other, and removes all of it. */
export function measureFullSpool(options: FullSpoolOptions): Promise<FullSpoolFigures> {
  const { count } = options;
  return withChildren(async (children, folder) => {
    console.log(`making ${count} files ...`);
    const made = join(folder, 'made');
    makeMessageFiles(made, count);
    execFileSync('sync');
    console.log('  the floor: list, lstat and rename in a bare loop ...');
    const aside = join(folder, 'aside');
    const floor = await measureLoop(children, 'bare-loop', made, aside);
    console.log('  the same with the looks that the laws need ...');
    // The folders that it renames into are the daemon's drop directory afterwards.
    const lib = join(folder, 'lib');
    const { ms: lawsMs } = await measureLoop(children, 'law-loop', aside, lib);
    // It is the same whichever build it stands beside.
    const chokidar =
      options.program === undefined ? await measureChokidar(children, lib, count) : undefined;
    execFileSync('sync');
    console.log('  the daemon: until all is picked up, then some learning ...');
    return { count, floor, lawsMs, chokidar, daemon: await measureDaemon(children, lib, options) };
  });
}

async function measureLoop(
  children: Children,
  name: 'bare-loop' | 'law-loop',
  from: string,
  to: string,
): Promise<FullSpoolFigures['floor']> {
  const [milliseconds, loop] = await children.helper(name, from, to);
  const mb = memoryOf(loop.pid).peakMb;
  await children.stop(loop);
  return { ms: Number(milliseconds), mb };
}

async function measureChokidar(
  children: Children,
  lib: string,
  count: number,
): Promise<FullSpoolFigures['chokidar']> {
  const limit = Number(readFileSync('/proc/sys/fs/inotify/max_user_watches', 'utf8'));
  if (count + 2 > limit) {
    console.log(`  chokidar with its defaults: left out, this system allows ${limit} watches`);
    return undefined;
  }
  console.log('  chokidar with its defaults, until it is ready ...');
  const [line, watcher] = await children.helper('plain-chokidar', lib);
  const figures = {
    ms: Number(line),
    mb: memoryOf(watcher.pid).peakMb,
    watches: watchesOf(watcher.pid),
  };
  await children.stop(watcher);
  if (!Number.isNaN(figures.ms)) return figures;
  console.log(`  chokidar failed: ${line}`);
  return undefined;
}

async function measureDaemon(
  children: Children,
  lib: string,
  { learnMs, profile, program }: FullSpoolOptions,
): Promise<FullSpoolFigures['daemon']> {
  const [port] = await children.helper('stub-controller');
  const daemon = await children.daemon({ lib, port, profile, program });
  const { process: child, startedAt, firstAt, counts } = daemon;
  const pickedUpAt = await until('the pickup', child, () =>
    ['spam', 'ham'].every((verdict) => isEmpty(join(lib, verdict))),
  );
  const pickupMb = memoryOf(child.pid).peakMb;
  await until('a learned message', child, () => firstAt.has('message.learned'));
  const learned = (): number => counts.get('message.learned') ?? 0;
  const [before, from] = [learned(), performance.now()];
  const [lateMs] = await Promise.all([pickupOfALateFile(lib), sleep(learnMs)]);
  const figures = {
    pickupMs: pickedUpAt - startedAt,
    pickupMb,
    firstLearnedMs: (firstAt.get('message.learned') ?? NaN) - startedAt,
    lateMs,
    mb: memoryOf(child.pid).peakMb,
    watches: watchesOf(child.pid),
    learnedPerSecond: ((learned() - before) * 1_000) / (performance.now() - from),
  };
  for (const [event, times] of counts) {
    const isExpected = /^(daemon\.|controller\.up$|message\.learned$)/.test(event);
    if (!isExpected) console.log(`  unexpected in the daemon's log: ${event}, ${times} times`);
  }
  await children.stop(child);
  return figures;
}

async function pickupOfALateFile(lib: string): Promise<number> {
  const file = join(lib, 'spam', 'late.eml');
  writeFileSync(file, 'Message-ID: <late@mail.example>\r\n\r\nThe rush is over.\r\n');
  chmodSync(file, 0o660);
  const start = performance.now();
  while (existsSync(file) && performance.now() - start < LATE_PATIENCE_MS) {
    await sleep(LATE_POLL_MS);
  }
  return performance.now() - start;
}

function isEmpty(folder: string): boolean {
  const directory = opendirSync(folder);
  try {
    return directory.readSync() === null;
  } finally {
    directory.closeSync();
  }
}
