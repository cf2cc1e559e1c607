import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { codeOf, errnoOf } from '../../errors.ts';
import { clean } from '../../text.ts';
import { BrokenContents, faultWords } from './source.ts';

/**
 * How a content is packed, told by its first bytes (names lie), and its unpacking. What is packed
 * twice stays packed: then it isn't mail. Nothing is unpacked ahead of the consumer, and what came
 * out before a break is given out before the fault is thrown.
 */
export type Packing = 'none' | 'gzip' | 'zstd';

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
// a skippable frame may come first
const ZSTD_SKIPPABLE = Buffer.from([0x2a, 0x4d, 0x18]);

export const MAGIC_BYTES = 4;

export function packingOf(head: Buffer): Packing {
  if (head.subarray(0, 2).equals(GZIP)) return 'gzip';
  if (head.subarray(0, 4).equals(ZSTD)) return 'zstd';
  const [first = 0] = head;
  if (first >> 4 === 5 && head.subarray(1, 4).equals(ZSTD_SKIPPABLE)) return 'zstd';
  return 'none';
}

/** Unpacks gzip, of one member or several. @throws {BrokenContents} */
export async function* gunzip(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const stream = createGunzip();
  void feed(chunks, stream, stream);
  try {
    for await (const piece of stream) yield piece as Buffer;
  } catch (error) {
    for (let rest: unknown; (rest = stream.read()) !== null;) yield rest as Buffer;
    if (!(error instanceof Error) || codeOf(error)?.startsWith('Z_') !== true) throw error;
    throw new BrokenContents(`broken gzip (${error.message})`, { cause: error });
  }
}

/** Decompresses with a window of 128 MiB at most: a frame may ask for gigabytes. */
const ZSTD_ARGUMENTS = ['--decompress', '--stdout', '--quiet', '--memory=128MB'];

/**
 * Unpacks zstd, of one frame or several, by the program: Node.js 20 has no zstd, and the one of
 * Node.js 24 ends without a word at a skippable frame (pzstd writes them) and takes garbage behind a
 * frame for its end.
 * @param program for tests
 * @throws {BrokenContents}
 */
export async function* unzstd(
  chunks: AsyncIterable<Buffer>,
  program = 'zstd',
): AsyncGenerator<Buffer, void, undefined> {
  // In a process group of its own: Ctrl-C on the terminal stops relearn gently, not its helper.
  const child = spawn(program, ZSTD_ARGUMENTS, { stdio: 'pipe', detached: true });
  const { stdin, stdout, stderr } = child;
  let complaint = '';
  stderr.setEncoding('latin1').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 500);
  });
  const fault = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => {
      resolve(errnoOf(error) === 'ENOENT' ? NO_PROGRAM : `zstd: ${faultWords(error) ?? ''}`);
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(`broken zstd (${signal ?? wordsOfZstd(complaint)})`);
    });
  });
  try {
    void feed(chunks, stdin, stdout);
    for await (const piece of stdout) yield piece as Buffer;
    const reason = await fault;
    if (reason !== undefined) throw new BrokenContents(reason);
  } finally {
    child.kill('SIGKILL');
  }
}

const NO_PROGRAM = 'compressed with zstd, and the program zstd is missing: apt install zstd';

/** `Decoding error (36) : Data corruption detected`: without the name of its standard input. */
function wordsOfZstd(complaint: string): string {
  return clean(complaint.replace(/^(?:zstd: )?\/\*stdin\*\\\s*:\s*/, '').replace(/\s*\n.*$/s, ''));
}

/**
 * Writes the chunks one after the other. Why a write failed, the output tells; a content that breaks
 * off becomes the output's error. The last chunk is written before the end is told: a gunzip that
 * sees the end of a broken content loses what it unpacked of the same chunk.
 */
async function feed(
  chunks: AsyncIterable<Buffer>,
  input: Writable,
  output: Readable,
): Promise<void> {
  input.on('error', () => undefined);
  try {
    for await (const chunk of chunks) {
      const isWritten = await new Promise<boolean>((resolve) => {
        input.write(chunk, (error) => {
          resolve(error === null || error === undefined);
        });
      });
      if (!isWritten) return;
    }
    input.end();
  } catch (error) {
    output.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
