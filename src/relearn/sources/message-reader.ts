import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Verdict } from '../../verdict.ts';
import { bannered } from './banner.ts';
import { Breath } from './breath.ts';
import { Chunks, chunksOfFile } from './chunks.ts';
import type { Position } from './chunks.ts';
import { packingOf, Unpacker } from './contents.ts';
import { fetchDialect } from './doveadm.ts';
import { entryFault, wordsOf } from './fault.ts';
import { Gathering } from './gathering.ts';
import { gunzipSmall } from './gzip.ts';
import { HEAD_BYTES, headerOf, messageStart } from './mail.ts';
import type { MessageStart } from './mail.ts';
import { MboxSplitter, unquote } from './mbox.ts';
import type { MboxPart } from './mbox.ts';
import { whyNoMessage, whyPassedOver } from './passed-over.ts';
import { nthPlace } from './place.ts';
import { blankLineBefore, mboxDialect } from './separator.ts';
import { overSize, REASON } from './source.ts';
import type { Found, ReadingOptions } from './source.ts';
import { unwrapped } from './spamassassin.ts';
import { Tally } from './tally.ts';
import { deflated, unopened } from './unopened.ts';

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
  readonly #verdict: Verdict;
  readonly #tally: Tally;
  readonly #unpacker = new Unpacker();
  #counter: MessageReader | undefined;
  readonly breath = new Breath();

  constructor(options: ReadingOptions, verdict: Verdict, tally: Tally) {
    this.#options = options;
    this.#verdict = verdict;
    this.#tally = tally;
  }

  /** One that keeps no message: it only tells where they are. */
  get counter(): MessageReader {
    const options = { ...this.#options, isDone: () => true };
    return (this.#counter ??= new MessageReader(options, this.#verdict, new Tally()));
  }

  /** Reads an entry of a folder. Nothing it may turn out to be blocks. */
  readEntry(address: string | Buffer, place: string, folder = place): Reading {
    let fd: number;
    try {
      fd = openSync(address, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      return entryFault(error, place);
    }
    return this.readOpen(fd, place, folder);
  }

  /** Reads an open file, and closes it. */
  readOpen(fd: number, place: string, folder = place): Reading {
    let isStreamed = false;
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) return { kind: 'skipped', place, reason: REASON.notRegular };
      if (stats.size === 0) return { kind: 'skipped', place, reason: REASON.empty };
      const at: Where = { place, folder };
      const found = stats.size <= SMALL_BYTES ? this.#readSmall(fd, stats.size, at) : undefined;
      if (found !== undefined) return found;
      isStreamed = true;
      const position: Position = { bytes: 0, size: stats.size };
      return this.#stream(chunksOfFile(fd, position), position, at);
    } catch (error) {
      return failure(error, place);
    } finally {
      if (!isStreamed) closeSync(fd);
    }
  }

  /** Reads a content that has no file, to its end. */
  readStream(chunks: AsyncIterable<Buffer>, place: string): AsyncGenerator<Found, void, undefined> {
    return this.#stream(chunks, { bytes: 0, size: undefined }, { place, folder: place });
  }

  /** The one message of a small file; `undefined` when it must be streamed after all. */
  #readSmall(fd: number, size: number, where: Where): Found | undefined {
    const { place, folder } = where;
    const isDone = this.#options.isDone(place);
    if (isDone && isAlone(fd, size)) return { kind: 'done', place, folder };
    // One byte more shows whether it grew since.
    const memory = Buffer.allocUnsafe(size + 1);
    const length = readFully(fd, memory);
    if (length > size) return undefined;
    const content = unpackSmall(memory.subarray(0, length));
    if (content === undefined) return undefined;
    const start = this.#startOf(content, place);
    if ('kind' in start) return start;
    const isMbox = start.form === 'mbox';
    const isOne = isMbox ? !content.includes(LINE_START, start.headerAt) : start.form === 'message';
    if (!isOne) return undefined;
    const header = headerOf(content, start.headerAt);
    if (header === undefined) return { kind: 'skipped', place, reason: REASON.notMail };
    if (isDone) return { kind: 'done', place, folder };
    const end = isMbox ? content.length - blankLineBefore(content, content.length) : content.length;
    const body = content.subarray(start.headerAt, end);
    return this.#whole(isMbox ? unquote(body) : bannered(body, start.lead), header, isMbox, where);
  }

  /** Where mail begins in a content; or what it is instead. */
  #startOf(head: Buffer, place: string): MessageStart | Found {
    if (head.length === 0) return { kind: 'skipped', place, reason: REASON.empty };
    const other = unopened(head.subarray(0, HEAD_BYTES), this.#verdict);
    const start = other === undefined ? messageStart(head) : undefined;
    if (start !== undefined) return start;
    const packed = other ?? deflated(head, this.#verdict);
    if (packed === undefined) return { kind: 'skipped', place, reason: REASON.notMail };
    return { kind: packed.mayBeOther ? 'skipped' : 'failed', place, reason: packed.reason };
  }

  /** A message with all of its bytes. */
  #whole(body: Buffer, header: string, isMbox: boolean, where: Where): Found {
    const { maxBytes } = this.#options;
    if (body.length > maxBytes) {
      return { kind: 'failed', place: where.place, reason: overSize(body.length, maxBytes) };
    }
    const reason = isMbox ? whyPassedOver(header) : whyNoMessage(header);
    return reason === undefined ? message(body, where) : { kind: 'passed', ...where, reason };
  }

  async *#stream(
    packed: AsyncIterable<Buffer>,
    position: Position,
    where: Where,
  ): AsyncGenerator<Found, void, undefined> {
    const { place } = where;
    const outside = new Chunks(packed);
    let chunks = outside;
    try {
      const packing = packingOf(await outside.head(MAGIC_BYTES));
      if (packing !== 'none') chunks = new Chunks(this.#unpacker.unpack(outside, packing));
      const start = this.#startOf(await chunks.head(HEAD_BYTES), place);
      if ('kind' in start) {
        if (chunks.fault === undefined) yield start;
      } else if (start.form === 'message') {
        const size = packing === 'none' ? position.size : undefined;
        yield* this.#single(chunks, start, size, where);
      } else {
        yield* this.#several(chunks, start, position, place);
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
    where: Where,
  ): AsyncGenerator<Found, void, undefined> {
    const { maxBytes, isDone } = this.#options;
    const { place, folder } = where;
    if (isDone(place)) {
      yield { kind: 'done', place, folder };
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
      return;
    }
    const body = bannered(gathering.take(), start.lead);
    yield this.#whole(body, headerOf(body) ?? '', false, where);
  }

  /** An mbox, or what doveadm printed. */
  async *#several(
    chunks: Chunks,
    start: MessageStart,
    position: Position,
    place: string,
  ): AsyncGenerator<Found, void, undefined> {
    const { maxBytes, isDone } = this.#options;
    const splitter = new MboxSplitter({
      dialect: start.form === 'fetch' ? fetchDialect(start.lead) : mboxDialect(start.lead),
      maxBytes,
      isDone: (number) => isDone(nthPlace(place, number)),
    });
    let skip = start.headerAt;
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

  *#foundIn(part: MboxPart, folder: string): Generator<Found, void, undefined> {
    const place = nthPlace(folder, part.number);
    const where: Where = { place, folder };
    switch (part.kind) {
      case 'body':
        yield message(part.body, where);
        break;
      case 'done':
        yield { kind: 'done', ...where };
        break;
      case 'passed':
        yield { kind: 'passed', ...where, reason: part.reason };
        break;
      case 'not-mail':
        yield { kind: 'skipped', place, reason: REASON.notMail };
        break;
      case 'over-size':
        yield { kind: 'failed', place, reason: overSize(part.bytes, this.#options.maxBytes) };
        break;
      case 'cut-off':
        if (part.body !== undefined) yield message(part.body, where);
        yield { kind: 'failed', place, reason: part.reason };
        break;
    }
  }
}

/** Where a message lies, and in which mail folder. */
interface Where {
  readonly place: string;
  readonly folder: string;
}

function message(body: Buffer, where: Where): Found {
  const inner = unwrapped(body);
  return { kind: 'message', ...where, body: inner, ...(inner !== body && { isUnwrapped: true }) };
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
  return packingOf(start) === 'none' && messageStart(start)?.form === 'message';
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
