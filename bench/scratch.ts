/**
 * What the benches lay out on the disk, each in a folder of its own that is removed in the end.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MadeMessage } from '../test/lab/messages.ts';

const BUNDLE_OF_CHECKOUT = 'dist/bundle/bin/kopano-learnd.mjs';
/** The program as it is installed: compiled, this file lies in dist/bench/bench. */
export const BUNDLE = fileURLToPath(new URL('../../bundle/bin/kopano-learnd.mjs', import.meta.url));
/** Root's own spool is used by nobody who doesn't say so. */
export const AS_ONESELF = process.getuid?.() === 0 ? ['--user', 'root'] : [];

/** The program of another checkout, in which `npm run bundle` was run; nothing where none is named. */
export function bundleIn(checkout: string | undefined): string | undefined {
  return checkout === undefined ? undefined : resolve(checkout, BUNDLE_OF_CHECKOUT);
}

export async function inScratch<T>(work: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'kopano-learnd-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes messages into `parent/spam` and `parent/ham`, finished as kopano-spamd's. @returns `parent` */
export function layOut(parent: string, messages: readonly MadeMessage[] = []): string {
  for (const verdict of ['spam', 'ham']) mkdirSync(join(parent, verdict), { recursive: true });
  for (const { verdict, name, raw } of messages) {
    const file = join(parent, verdict, name);
    writeFileSync(file, raw);
    chmodSync(file, 0o660);
  }
  return parent;
}
