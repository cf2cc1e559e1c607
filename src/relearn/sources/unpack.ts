import { spawn } from 'node:child_process';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { codeOf, errnoOf } from '../../errors.ts';
import { clean } from '../../text.ts';
import { BrokenContents, faultWords } from './source.ts';

/**
 * How a content is packed, told by its first bytes (names lie), and its unpacking. Nothing is unpacked
 * ahead of the consumer, but for some chunks.
 */
type Packing = 'gzip' | 'zstd';

export const MAGIC_BYTES = 4;

export function packingOf(head: Buffer): Packing | undefined {
  const magic = head.toString('hex', 0, MAGIC_BYTES);
  if (magic.startsWith('1f8b')) return 'gzip';
  // Skippable frames, of which pzstd writes one in front, begin with 5x2a4d18.
  return /^(?:28b52ffd|5.2a4d18)/.test(magic) ? 'zstd' : undefined;
}

/** Unpacks gzip, of one member or several. @throws {BrokenContents} */
export async function* gunzip(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    // The pipeline's error is the stream's as well.
    for await (const piece of pipeline(chunks, createGunzip(), () => undefined)) {
      yield piece as Buffer;
    }
  } catch (error) {
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
 * @throws {BrokenContents}
 */
export async function* unzstd(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  // In a process group of its own: Ctrl-C on the terminal stops relearn gently, not its helper.
  const child = spawn('zstd', ZSTD_ARGUMENTS, { stdio: 'pipe', detached: true });
  let complaint = '';
  child.stderr.setEncoding('latin1').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 500);
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => {
      resolve(errnoOf(error) === 'ENOENT' ? NO_PROGRAM : `zstd: ${faultWords(error) ?? ''}`);
    });
    child.once('close', (code) => {
      // `zstd: /*stdin*\: Decoding error (36) : Data corruption detected`
      const [words = ''] = complaint.replace(/^.*?\/\*stdin\*\\\s*:\s*/, '').split('\n');
      resolve(code === 0 ? undefined : `broken zstd (${clean(words.trim())})`);
    });
  });
  let fault: BrokenContents | undefined;
  pipeline(chunks, child.stdin, (error) => {
    if (error instanceof BrokenContents) fault = error;
  });
  try {
    for await (const piece of child.stdout) yield piece as Buffer;
    const reason = await ended;
    if (fault !== undefined) throw fault;
    if (reason !== undefined) throw new BrokenContents(reason);
  } finally {
    child.kill('SIGKILL');
  }
}

const NO_PROGRAM = 'compressed with zstd, and the program zstd is missing: apt install zstd';
