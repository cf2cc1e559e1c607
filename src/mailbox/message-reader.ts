import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Breath } from './breath.ts';
import { Chunks, chunksOfFile } from './chunks.ts';
import type { Position } from './chunks.ts';
import { packingOf, Unpacker } from './contents.ts';
import { entryFault, wordsOf } from './fault.ts';
import { Gathering } from './gathering.ts';
import { gunzipSmall } from './gzip.ts';
import { HEAD_BYTES, hasHeader, messageStart } from './mail.ts';
import type { MessageStart } from './mail.ts';
import { MboxSplitter, unquote } from './mbox.ts';
import type { MboxPart } from './mbox.ts';
import { nthPlace } from './place.ts';
import { blankLineBefore } from './separator.ts';
import { overSize, REASON } from './source.ts';
import type { Found, ReadingOptions } from './source.ts';
import type { Tally } from './tally.ts';

/**
 * Reads the messages of one content after the other: a file, or standard input.
 *
 * A small file with one message, which is what folders are full of, is read with five synchronous
 * calls and nothing else, a fifth of what a chain of asynchronous ones costs. Everything else is
 * streamed, and takes no more memory than its largest message.
 */
export type Reading = Found | AsyncGenerator<Found, void, undefined>;

const SMALL_BYTES = 1024 * 1024;
/** Shows whether a message is in a file of its own. */
const PEEK_BYTES = 1_024;
const LINE_START = Buffer.from('\nFrom ');
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

export class MessageReader {
  readonly #options: ReadingOptions;
  readonly #tally: Tally;
  readonly #unpacker = new Unpacker();
  readonly breath = new Breath();

  constructor(options: ReadingOptions, tally: Tally) {
    this.#options = options;
    this.#tally = tally;
  }

  /** Reads an entry of a folder. Nothing it may turn out to be blocks. */
  readEntry(address: string | Buffer, place: string): Reading {
    let fd: number;
    try {
      fd = openSync(address, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      return entryFault(error, place);
    }
    return this.readOpen(fd, place);
  }

  /** Reads an open file, and closes it. */
  readOpen(fd: number, place: string): Reading {
    let isStreamed = false;
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) return { kind: 'skipped', place, reason: REASON.notRegular };
      if (stats.size === 0) return { kind: 'skipped', place, reason: REASON.empty };
      const found = stats.size <= SMALL_BYTES ? this.#readSmall(fd, stats.size, place) : undefined;
      if (found !== undefined) return found;
      isStreamed = true;
      const position: Position = { bytes: 0, size: stats.size };
      return this.#stream(chunksOfFile(fd, position), position, place);
    } catch (error) {
      return failure(error, place);
    } finally {
      if (!isStreamed) closeSync(fd);
    }
  }

  /** Reads a content that has no file, to its end. */
  readStream(chunks: AsyncIterable<Buffer>, place: string): AsyncGenerator<Found, void, undefined> {
    return this.#stream(chunks, { bytes: 0, size: undefined }, place);
  }

  /** The one message of a small file; `undefined` when it must be streamed after all. */
  #readSmall(fd: number, size: number, place: string): Found | undefined {
    const isDone = this.#options.isDone(place);
    if (isDone && isAlone(fd, size)) return { kind: 'done', place };
    // One byte more shows whether it grew since.
    const memory = Buffer.allocUnsafe(size + 1);
    const length = readFully(fd, memory);
    if (length > size) return undefined;
    const content = unpackSmall(memory.subarray(0, length));
    if (content === undefined) return undefined;
    if (content.length === 0) return { kind: 'skipped', place, reason: REASON.empty };
    const start = messageStart(content);
    if (start === undefined) return { kind: 'skipped', place, reason: REASON.notMail };
    if (start.isMbox && content.includes(LINE_START, start.headerAt)) return undefined;
    if (!hasHeader(content, start.headerAt)) {
      return { kind: 'skipped', place, reason: REASON.notMail };
    }
    if (isDone) return { kind: 'done', place };
    if (!start.isMbox) return this.#sized(content.subarray(start.at), place);
    const end = content.length - blankLineBefore(content, content.length);
    return this.#sized(unquote(content.subarray(start.headerAt, end)), place);
  }

  #sized(body: Buffer, place: string): Found {
    const { maxBytes } = this.#options;
    return body.length > maxBytes
      ? { kind: 'failed', place, reason: overSize(body.length, maxBytes) }
      : { kind: 'message', place, body };
  }

  async *#stream(
    packed: AsyncIterable<Buffer>,
    position: Position,
    place: string,
  ): AsyncGenerator<Found, void, undefined> {
    const outside = new Chunks(packed);
    let chunks = outside;
    try {
      const packing = packingOf(await outside.head(MAGIC_BYTES));
      if (packing !== 'none') chunks = new Chunks(this.#unpacker.unpack(outside, packing));
      const head = await chunks.head(HEAD_BYTES);
      const start = messageStart(head);
      const isPlain = packing === 'none';
      if (start === undefined) {
        if (chunks.fault === undefined) {
          const reason = head.length === 0 ? REASON.empty : REASON.notMail;
          yield { kind: 'skipped', place, reason };
        }
      } else if (start.isMbox) {
        yield* this.#mbox(chunks, start, position, place);
      } else {
        yield* this.#single(chunks, start, isPlain ? position.size : undefined, place);
      }
      if (chunks.fault !== undefined) yield { kind: 'failed', place, reason: chunks.fault };
    } finally {
      await chunks.close();
      await outside.close();
    }
  }

  /** A message that is a content of its own. `size`: that of the content, where it is known. */
  async *#single(
    chunks: Chunks,
    start: MessageStart,
    size: number | undefined,
    place: string,
  ): AsyncGenerator<Found, void, undefined> {
    const { maxBytes, isDone } = this.#options;
    if (isDone(place)) {
      yield { kind: 'done', place };
      return;
    }
    if (size !== undefined && size - start.at > maxBytes) {
      yield { kind: 'failed', place, reason: overSize(size - start.at, maxBytes) };
      return;
    }
    const gathering = new Gathering(maxBytes);
    let skip = start.at;
    for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
      gathering.add(chunk.subarray(skip));
      skip = 0;
      if (this.breath.isDue()) await this.breath.take();
    }
    if (chunks.fault !== undefined) return;
    if (gathering.isOver) {
      yield { kind: 'failed', place, reason: overSize(gathering.length, maxBytes) };
    } else yield { kind: 'message', place, body: gathering.take() };
  }

  async *#mbox(
    chunks: Chunks,
    start: MessageStart,
    position: Position,
    place: string,
  ): AsyncGenerator<Found, void, undefined> {
    const { maxBytes, isDone } = this.#options;
    const splitter = new MboxSplitter({
      maxBytes,
      isDone: (number) => isDone(nthPlace(place, number)),
    });
    let skip = start.at;
    let given = 0;
    for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
      const parts = splitter.push(chunk.subarray(skip));
      skip = 0;
      if (this.breath.isDue()) await this.breath.take();
      for (const part of parts) {
        given += 1;
        const share = position.size === undefined ? 0 : position.bytes / position.size;
        this.#tally.inside(splitter.count, given, share);
        yield* this.#foundIn(part, place);
      }
    }
    this.#tally.inside(splitter.count, splitter.count, 1);
    // The last message of what broke off isn't whole.
    if (chunks.fault !== undefined) return;
    for (const part of splitter.end()) yield* this.#foundIn(part, place);
  }

  *#foundIn(part: MboxPart, file: string): Generator<Found, void, undefined> {
    const place = nthPlace(file, part.number);
    switch (part.kind) {
      case 'body':
        yield { kind: 'message', place, body: part.body };
        break;
      case 'done':
        yield { kind: 'done', place };
        break;
      case 'not-mail':
        yield { kind: 'skipped', place, reason: REASON.notMail };
        break;
      case 'over-size':
        yield { kind: 'failed', place, reason: overSize(part.bytes, this.#options.maxBytes) };
        break;
      case 'cut-off':
        if (part.body !== undefined) yield { kind: 'message', place, body: part.body };
        yield { kind: 'failed', place, reason: part.reason };
        break;
    }
  }
}

const MAGIC_BYTES = 4;

function failure(error: unknown, place: string): Found {
  const reason = wordsOf(error);
  if (reason === undefined) throw error;
  return { kind: 'failed', place, reason };
}

/** `undefined` for what a stream must unpack. */
function unpackSmall(content: Buffer): Buffer | undefined {
  switch (packingOf(content)) {
    case 'none':
      return content;
    case 'gzip':
      return gunzipSmall(content, SMALL_BYTES);
    case 'zstd':
      return undefined;
  }
}

/** True when the file holds one message for sure: neither packed nor an mbox. */
function isAlone(fd: number, size: number): boolean {
  const head = Buffer.allocUnsafe(Math.min(size, PEEK_BYTES));
  const length = readSync(fd, head, 0, head.length, 0);
  const start = head.subarray(0, length);
  return packingOf(start) === 'none' && messageStart(start)?.isMbox === false;
}

/** Reads from the beginning until `memory` is full or the file ends. */
function readFully(fd: number, memory: Buffer): number {
  let length = readSync(fd, memory, 0, memory.length, 0);
  // A regular file gives less than was asked for only at its end; where it ended before, or grew,
  // one more call tells.
  while (length > 0 && length < memory.length - 1) {
    const more = readSync(fd, memory, length, memory.length - length, length);
    if (more === 0) break;
    length += more;
  }
  return length;
}
