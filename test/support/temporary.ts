import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { secondFolder } from './run.ts';

/** Real folders, users and mounts for one test, undone when it is over. */

export const isRoot = process.geteuid?.() === 0;

/** A user that owns nothing. */
export const NOBODY = 65_534;

/** Whether `folderElsewhere` is on another file system than the temporary folder. */
export const hasOtherFileSystem = statSync(secondFolder()).dev !== statSync(tmpdir()).dev;

/** Whether mounts can be made: it takes root, and more than a container's root has. */
export const canMount = isRoot && tryMount();

/** A new folder that anybody may enter, removed when the test is over. */
export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'learnd-test-'));
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A new folder on another file system than `temporaryFolder`'s. */
export function folderElsewhere(): string {
  return temporaryFolder(secondFolder());
}

/** Mounts a tmpfs of its own over a folder, which is made. */
export function mountTmpfs(folder: string, options: string): void {
  mount(['-t', 'tmpfs', '-o', options, 'tmpfs'], folder);
}

/** Shows a folder at a second place, which is made. */
export function bindMount(from: string, folder: string): void {
  mount(['--bind', from], folder);
}

function mount(how: readonly string[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', [...how, folder]);
  onTestFinished(() => {
    execFileSync('umount', [folder]);
  });
}

function tryMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'learnd-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
