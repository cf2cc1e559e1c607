import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  rmSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestOptions } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';
import { LENGTH } from './length.ts';
import { NOBODY, canMount, hasOtherFileSystem, isRoot } from './temporary.ts';

/**
 * What some machines lack, as options of a test or a `describe`: it is skipped there, and the
 * reporter (skips.ts) says why.
 */

declare module 'vitest' {
  interface TaskMeta {
    /** What is missing, as in "needs root". */
    needs?: string;
  }
}

/** In continuous integration programs are there: what needs one fails, and never vanishes unseen. */
const mustRun = !['', 'false'].includes(process.env['CI'] ?? '');

export const ROOT = needs('root', isRoot);
export const MOUNTS = needs('root that may mount', canMount);
export const FUSE = needs(
  'root that may mount, and /dev/fuse',
  canMount && existsSync('/dev/fuse'),
);
/** Waits for what rspamd refreshes once a minute, tells a whole story, or reads gigabytes. */
export const TIME = needs('time: TEST_LENGTH=middle', LENGTH !== 'short');
export const SECOND_FILE_SYSTEM = needs('another file system at /dev/shm', hasOtherFileSystem);

export function needs(what: string, isThere: boolean): TestOptions {
  return isThere ? {} : { skip: true, meta: { needs: what } };
}

export function needsPrograms(...names: readonly string[]): TestOptions {
  const missing = names.filter((name) => findProgram(name, process.env['PATH']) === undefined);
  return needs(missing.join(' and '), missing.length === 0 || mustRun);
}

/** Containers have none. */
export function needsLoopDevice(): TestOptions {
  return needs('a loop device', canMount && tryLoop());
}

/** A chroot whose root is no mount has none. */
export function needsMountNamespace(): TestOptions {
  const tried = spawnSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
  return needs('a mount namespace of its own', tried.status === 0);
}

/** Root has it, with or without its other rights. */
export function needsChown(): TestOptions {
  return needs('the right to give files away', tryChown());
}

function tryChown(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'learnd-chown-'));
  try {
    const { uid, gid } = statSync(folder);
    chownSync(folder, NOBODY, NOBODY);
    chownSync(folder, uid, gid);
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(folder);
  }
}

function tryLoop(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'learnd-loop-'));
  const image = join(folder, 'image');
  try {
    writeFileSync(image, '');
    truncateSync(image, 1 << 20);
    const device = execFileSync('losetup', ['--find', '--show', image], { stdio: 'pipe' });
    execFileSync('losetup', ['--detach', device.toString().trim()]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
