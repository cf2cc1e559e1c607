import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { ByteWindow } from './byte-window.ts';
import { contentStart, HEAD_BYTES, headerOf, unwrapped, whyPassedOver } from './mail.ts';
import type { MailStart } from './mail.ts';
import { splitMessages, unquote } from './mbox.ts';
import { entryFault } from './source.ts';
import type { Found, Reading, ReadingOptions } from './source.ts';
import { gunzip, MAGIC_BYTES, packingOf, unzstd } from './unpack.ts';

/**
 * Reads the contents of a source, one after the other: files, or standard input. The memory that it
 * takes is bounded by the largest message, however much a content holds and however tightly it is
 * packed; nothing that a file may turn out to be blocks.
 */
export class ContentReader {
  /** How many files the source holds; `undefined` until they are counted. */
  files: number | undefined;
  readonly #options: ReadingOptions;
  readonly #verdict: Verdict;
  #filesBegun = 0;
  /** Bytes read of the current file. */
  #bytesRead = 0;
  /** Messages that the current file still holds, as the part that was read tells. */
  #rest = 0;

  /** @param verdict what its messages are to be taught as */
  constructor(options: ReadingOptions, verdict: Verdict) {
    this.#options = options;
    this.#verdict = verdict;
  }

  /** How many messages are still to be read, with one in each file; `undefined` without a count. */
  get rest(): number | undefined {
    return this.files && this.#rest + Math.max(0, this.files - this.#filesBegun);
  }

  /** Reads a file, unless a symlink stands there. @param folder the place of its mail folder */
  async *readFile(address: string | Buffer, place: string, folder: string): Reading {
    this.#filesBegun += 1;
    this.#rest = 0;
    let fd: number;
    try {
      fd = openSync(address, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      yield entryFault(error, place);
      return;
    }
    const stats = fstatSync(fd);
    if (stats.isFile()) {
      const { size, mtimeMs } = stats;
      yield* this.read(this.#chunksOf(fd, size), { place, folder, size, mtimeMs });
    } else {
      closeSync(fd);
      yield { kind: 'notMail', place, reason: 'not a regular file' };
    }
  }

  /** Reads a content to its end. */
  async *read(chunks: AsyncIterable<Buffer>, where: ContentPlace): Reading {
    const { place } = where;
    const outside = new ByteWindow(chunks);
    let content = outside;
    try {
      const packing = packingOf(await outside.fill(MAGIC_BYTES));
      if (packing !== undefined) {
        const unpack = packing === 'gzip' ? gunzip : unzstd;
        content = new ByteWindow(unpack(outside.rest()));
      }
      const start = contentStart(await content.fill(HEAD_BYTES));
      if (start.form === 'message') yield* this.#single(content, start, where);
      else if ('lead' in start) yield* this.#several(content, start, where);
      else if (content.fault === undefined) {
        yield { kind: start.form, place, reason: start.reason };
      }
      const { fault } = content;
      if (fault !== undefined) yield { kind: 'failed', place, reason: fault };
    } finally {
      await content.close();
      await outside.close();
    }
  }

  /** A message that is a content of its own. */
  async *#single(content: ByteWindow, start: MailStart, where: ContentPlace): Reading {
    const { place, folder } = where;
    const { maxBytes, isDone } = this.#options;
    if (isDone(place)) {
      yield { kind: 'doneBefore', place, folder };
      return;
    }
    content.drop(start.at);
    const body = await content.fill(maxBytes + 1);
    if (body.length > maxBytes) yield overSize(place, maxBytes);
    else if (content.fault === undefined) yield messageOf(body, where);
  }

  /** An mbox, or what doveadm printed. */
  async *#several(content: ByteWindow, start: MailStart, where: ContentPlace): Reading {
    const { maxBytes, isDone } = this.#options;
    const isMbox = start.form === 'mbox';
    content.drop(start.at);
    const inBox = { ...where, folder: where.place, isOneOfSeveral: true } as const;
    for await (const { number, isLast, body } of splitMessages(content, start.lead, maxBytes)) {
      // The place of the first message must not depend on whether another one follows.
      const place = number === 1 ? where.place : `${where.place}#${number}`;
      const found = { ...(isLast && number === 1 ? where : inBox), place };
      const { folder } = found;
      if (where.size !== undefined) {
        const part = content.partUpTo(body?.length ?? 0) * (this.#bytesRead / where.size);
        this.#rest = isLast ? 0 : number / part - number;
      }
      const header = body === undefined ? undefined : headerOf(body);
      const why = isMbox && header !== undefined ? whyPassedOver(header, this.#verdict) : undefined;
      if (isDone(place)) yield { kind: 'doneBefore', place, folder };
      else if (body === undefined) yield overSize(place, maxBytes);
      else if (header === undefined) yield { kind: 'notMail', place, reason: 'not a mail message' };
      else if (why !== undefined) yield { kind: 'passedOver', place, folder, reason: why };
      // A copy, lest the rest of the window stays in memory for it.
      else yield messageOf(isMbox ? unquote(body) : Buffer.from(body), found);
    }
  }

  /** The bytes of an open file, which is closed in the end. */
  async *#chunksOf(fd: number, size: number): AsyncGenerator<Buffer, void, undefined> {
    this.#bytesRead = 0;
    // One byte more shows whether a small file grew.
    const length = Math.min(CHUNK_BYTES, size + 1);
    try {
      for (;;) {
        await yieldIfDue();
        const chunk = Buffer.allocUnsafeSlow(length);
        const bytes = readSync(fd, chunk, 0, length, null);
        if (bytes === 0) return;
        this.#bytesRead += bytes;
        yield chunk.subarray(0, bytes);
      }
    } finally {
      closeSync(fd);
    }
  }
}

const CHUNK_BYTES = 64 * 1024;

/** Where a content lies, in which mail folder, and what is known of its file. */
interface ContentPlace {
  readonly place: string;
  readonly folder: string;
  readonly isOneOfSeveral?: true;
  /** In bytes. */
  readonly size?: number;
  readonly mtimeMs?: number;
}

function messageOf(body: Buffer, where: ContentPlace): Found {
  const { place, folder, mtimeMs, isOneOfSeveral } = where;
  return { kind: 'message', place, folder, mtimeMs, isOneOfSeveral, body: unwrapped(body) };
}

function overSize(place: string, maxBytes: number): Found {
  const reason = `over-size: larger than ${maxBytes} bytes (LEARN_MAX_BYTES)`;
  return { kind: 'failed', place, reason };
}
