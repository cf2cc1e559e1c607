import { buildSync } from 'esbuild';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * One run of the tests: a folder for everything that they make, with the bundled program in
 * it, and a guardian that removes it all when the run has ended, however it ended.
 *
 * Some tests run programs as users of their own: they may enter the folder, while the checkout may
 * lie where they can't read it.
 */

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const SHARED_MEMORY = '/dev/shm';
/** The variable with the name of both folders. */
const RUN = 'LEARND_TESTS';
/** How long the end of the run waits for the guardian. */
const TURNS = 500;
const TURN_MS = 20;

/** Starts the run of this process, which is vitest's main one; it may say so more than once. */
export function startRun(): void {
  if (process.env[RUN] !== undefined) return;
  const folder = mkdtempSync(join(isOpen(tmpdir()) ? tmpdir() : '/tmp', 'learnd-tests-'));
  process.env['TMPDIR'] = folder;
  process.env[RUN] = basename(folder);
  const guardian = guard([folder, secondFolder()]);
  for (const each of [folder, secondFolder()]) {
    mkdirSync(each, { recursive: true });
    chmodSync(each, 0o1777);
  }
  buildPrograms(packageFolder());
  process.on('exit', () => {
    guardian.stdin?.write('\n');
    for (let turn = 0; turn < TURNS && existsSync(folder); turn += 1) pause(TURN_MS);
  });
}

/** The run's second folder, which on most machines is on another file system than the first. */
export function secondFolder(): string {
  return join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), process.env[RUN] ?? '');
}

/** What goes into images, and beside it the programs of the tests. */
export function packageFolder(): string {
  return join(secondFolder(), 'package');
}

/** The program, as images and services run it: one file. */
export function program(): string {
  return join(packageFolder(), 'bin/kopano-learnd.mjs');
}

/** Words behind the program's name: the spools of tests belong to who runs them, root included. */
export function asOneself(): readonly string[] {
  return process.geteuid?.() === 0 ? ['--user', 'root'] : [];
}

/** As the first lines of the bundle have them for `watch` and `evaluate`: what they keep is seen, and not their garbage. */
export const SMALL_HEAP = ['--max-semi-space-size=4', '--heap-growing-percent=40'];

/** The demo, as a program; it is made by the one test that runs it. */
export function makeDemo(): string {
  runScript('demo.mjs', packageFolder());
  return join(packageFolder(), 'demo.mjs');
}

/** kopano-spamd's stand-in, as a program. */
export function writerProgram(): string {
  return join(packageFolder(), 'kopano-writer.mjs');
}

/** Every command, as a program that other users may run (elsewhere.ts). */
export function commanderProgram(): string {
  return join(packageFolder(), 'commander.mjs');
}

/** Others may get there. */
function isOpen(folder: string): boolean {
  if ((statSync(folder).mode & 0o001) === 0) return false;
  return folder === dirname(folder) || isOpen(dirname(folder));
}

function buildPrograms(folder: string): void {
  runScript('bundle.mjs', folder);
  for (const [from, to] of [
    ['test/lab/kopano-writer.ts', 'kopano-writer.mjs'],
    ['test/support/elsewhere.ts', 'commander.mjs'],
  ] as const) {
    buildSync({
      entryPoints: [join(PROJECT, from)],
      outfile: join(folder, to),
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
  }
}

function runScript(name: string, folder: string): void {
  execFileSync(process.execPath, [join(PROJECT, 'scripts', name), folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function guard(folders: readonly string[]): ChildProcess {
  const script = fileURLToPath(new URL('guardian.sh', import.meta.url));
  const guardian = spawn('/bin/sh', [script], {
    // in a session of its own: Ctrl-C isn't for it
    detached: true,
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  guardian.stdin.on('error', () => undefined);
  guardian.stdin.write(`${basename(folders[0] ?? '')} ${folders.join(' ')}\n`);
  guardian.unref();
  return guardian;
}

/** Blocks: at the exit of a process there is no other wait. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
