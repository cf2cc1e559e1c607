/**
 * Writes messages exactly as kopano-spamd does when a user drags one into Junk or back: unlink the
 * other folder's file, open under the final name, write, close, chown, chmod 0660.
 *
 * Run as a program (`node kopano-writer.js LIB`) it does so for the orders on its standard input, one
 * JSON object a line.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { chmod, chown, open, unlink } from 'node:fs/promises';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Verdict } from '../../src/verdict.ts';

/** One verdict of a user, as kopano-spamd learns of it. */
export interface WriteOrder {
  readonly verdict: Verdict;
  /** The file's name: the message's search key and `.eml`. */
  readonly name: string;
  readonly body: Buffer;
  /** The folder that holds `spam` and `ham`. @defaultValue the writer's */
  readonly lib?: string;
  /** The body is written in this many pieces. @defaultValue 1 */
  readonly chunks?: number;
  /** Wait after each piece but the last, in milliseconds. @defaultValue 0 */
  readonly pauseMs?: number;
  /** Wait between close and chown: the file is whole but not marked. @defaultValue 0 */
  readonly pauseBeforeMarkMs?: number;
  /**
   * The mode that a new file is opened with, before the umask; 0o600 is one that others can't read
   * until it is marked.
   *
   * @defaultValue 0o666
   */
  readonly createMode?: number;
}

/** What became of an order. */
export type WriteOutcome =
  /** Complete and marked; kopano-spamd remembers the message and would export a later change. */
  | { readonly kind: 'written' }
  /**
   * The file was gone at chown or chmod. kopano-spamd swallows that, doesn't remember the message,
   * and never exports the user's later change: whoever took the file took it too early.
   */
  | { readonly kind: 'vanished'; readonly step: 'chown' | 'chmod' }
  /** Another error of the file system, which kopano-spamd would only log. */
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
    };

/** Where and as whom to write: the trials of the images give the owner (test/service/shell.sh). */
interface KopanoWriterOptions {
  /** The folder that holds `spam` and `ham`; neither is ever made here. */
  readonly lib: string;
  /** Owner given to the files; -1 leaves it. @defaultValue -1 */
  readonly uid?: number;
  /** Group given to the files; -1 leaves it. @defaultValue -1 */
  readonly gid?: number;
}

const FINISHING_MARK = 0o660;

export class KopanoWriter {
  readonly #lib: string;
  readonly #uid: number;
  readonly #gid: number;

  constructor(options: KopanoWriterOptions) {
    this.#lib = options.lib;
    this.#uid = options.uid ?? -1;
    this.#gid = options.gid ?? -1;
  }

  /** Carries one order out; errors of the file system are outcomes, never thrown. */
  async write(order: WriteOrder): Promise<WriteOutcome> {
    const { lib = this.#lib } = order;
    const path = join(lib, order.verdict, order.name);
    try {
      await unlinkIfThere(join(lib, other(order.verdict), order.name));
      await writeInPlace(path, order);
      await sleep(order.pauseBeforeMarkMs ?? 0);
    } catch (error) {
      return failure(error);
    }
    return this.#mark(path);
  }

  async #mark(path: string): Promise<WriteOutcome> {
    const steps = [
      ['chown', () => chown(path, this.#uid, this.#gid)],
      ['chmod', () => chmod(path, FINISHING_MARK)],
    ] as const;
    for (const [step, act] of steps) {
      try {
        await act();
      } catch (error) {
        return errorCode(error) === 'ENOENT' ? { kind: 'vanished', step } : failure(error);
      }
    }
    return { kind: 'written' };
  }
}

/** Python's `open(path, 'wb')`: the final name, an existing file is truncated, no rename. */
async function writeInPlace(path: string, order: WriteOrder): Promise<void> {
  const file = await open(path, 'w', order.createMode ?? 0o666);
  try {
    const chunks = Math.max(1, order.chunks ?? 1);
    const size = Math.ceil(order.body.length / chunks);
    for (let chunk = 0; chunk < chunks; chunk += 1) {
      if (chunk > 0) await sleep(order.pauseMs ?? 0);
      await file.writeFile(order.body.subarray(chunk * size, (chunk + 1) * size));
    }
  } finally {
    await file.close();
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

function other(verdict: Verdict): Verdict {
  return verdict === 'spam' ? 'ham' : 'spam';
}

function failure(error: unknown): WriteOutcome {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'failed', code: errorCode(error) ?? 'unknown', message };
}

function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * A writer with a user and a group of its own (needs root), as a process. It carries out one order
 * after the other, and ends with this process.
 */
export class KopanoWriterProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: ((outcome: WriteOutcome) => void)[] = [];

  /** @param script this file, as a program */
  constructor(script: string, lib: string, user: { readonly uid: number; readonly gid: number }) {
    const stdio = ['pipe', 'pipe', 'inherit'] as const;
    this.#child = spawn(process.execPath, [script, lib], { stdio: [...stdio], ...user });
    this.#child.unref();
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.(JSON.parse(line) as WriteOutcome),
    );
    this.#child.stdin.on('error', () => undefined);
  }

  write(order: WriteOrder): Promise<WriteOutcome> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin.write(
        `${JSON.stringify({ ...order, body: order.body.toString('base64') })}\n`,
      );
    });
  }
}

/** Carries out orders from standard input, until that ends; answers each with its outcome. */
async function serve(lib: string): Promise<void> {
  const writer = new KopanoWriter({ lib });
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as Omit<WriteOrder, 'body'> & { readonly body: string };
    const outcome = await writer.write({ ...order, body: Buffer.from(order.body, 'base64') });
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  }
}

const [, script, lib = ''] = process.argv;
// In the bundle, too, the script that runs is the file that holds this module.
const isProgram = /kopano-writer\.m?js$/.test(import.meta.url);
if (isProgram && script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  await serve(lib);
}
