/**
 * Writes messages exactly as kopano-spamd does when a user drags one into Junk or back: unlink the
 * other folder's file, open under the final name, write, close, chown, chmod 0660.
 *
 * Run as a program (`node kopano-writer.js LIB [UID GID]`) it does so for the commands on its
 * standard input, one JSON object a line, and answers one JSON line each; so a test can have a
 * writer with a user and a group of its own.
 */
import { chmod, chown, open, unlink } from 'node:fs/promises';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
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

/** Where and as whom to write. */
export interface KopanoWriterOptions {
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

/** A command line of the program: an order with its body in base64. */
export function encodeOrder(order: WriteOrder): string {
  return JSON.stringify({ ...order, body: order.body.toString('base64') });
}

/** @throws when the line is not a command */
function parseOrder(line: string): WriteOrder {
  const order = JSON.parse(line) as Omit<WriteOrder, 'body'> & {
    readonly body: string;
  };
  if (!['spam', 'ham'].includes(order.verdict) || typeof order.name !== 'string') {
    throw new Error('a command has verdict, name and body');
  }
  return { ...order, body: Buffer.from(order.body, 'base64') };
}

/** @throws when the line is not an answer of the program */
export function parseOutcome(line: string): WriteOutcome {
  const outcome = JSON.parse(line) as WriteOutcome;
  if (!['written', 'vanished', 'failed'].includes(outcome.kind))
    throw new Error(`not one: ${line}`);
  return outcome;
}

/** Carries out commands until the input ends; each is answered when it is done. */
async function serve(options: KopanoWriterOptions): Promise<void> {
  const writer = new KopanoWriter(options);
  for await (const line of createInterface({ input: process.stdin })) {
    const order = parseOrder(line);
    const outcome = await writer.write(order);
    const answer = { verdict: order.verdict, name: order.name, ...outcome };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

const [, script, lib, uid = '-1', gid = '-1'] = process.argv;
// In the bundle, too, the script that runs is the file that holds this module.
const isProgram = /kopano-writer\.m?js$/.test(import.meta.url);
if (isProgram && script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  if (lib === undefined) throw new Error('usage: kopano-writer.js LIB [UID GID]');
  await serve({ lib, uid: Number(uid), gid: Number(gid) });
}
