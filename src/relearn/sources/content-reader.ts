import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { Verdict } from '../../verdict.ts';
import { ByteWindow, chunksOfFile } from './byte-window.ts';
import type { Chunks } from './byte-window.ts';
import { whyDeleted, whyNoMessage } from './deleted.ts';
import { fetchDialect } from './doveadm.ts';
import { HEAD_BYTES, headerOf, messageStart, withoutTrailer } from './mail.ts';
import type { MessageStart } from './mail.ts';
import { splitMessages, unquote } from './mbox.ts';
import { nthPlace } from './place.ts';
import { mboxDialect } from './separators.ts';
import { SizeEstimate } from './size-estimate.ts';
import { entryFault, overSize, REASON } from './source.ts';
import type { Found, Reading, ReadingOptions } from './source.ts';
import { unwrapped } from './spamassassin.ts';
import { deflated, unopened } from './unopened.ts';
import { gunzip, MAGIC_BYTES, packingOf, unzstd } from './unpack.ts';

/**
 * Reads the messages of one content after the other: a file, or standard input. Takes no more memory
 * than twice the largest message, however much a content holds and however tightly it is packed.
 */
export class ContentReader {
  readonly #options: ReadingOptions;
  readonly #verdict: Verdict;
  readonly #estimate: SizeEstimate;

  constructor(options: ReadingOptions, verdict: Verdict, estimate: SizeEstimate) {
    this.#options = options;
    this.#verdict = verdict;
    this.#estimate = estimate;
  }

  /** The places of the messages of an entry; nothing of them is kept, and they don't count. */
  async *placesIn(address: string | Buffer, place: string): AsyncGenerator<string> {
    const options = { ...this.#options, isDone: () => true };
    const reader = new ContentReader(options, this.#verdict, new SizeEstimate());
    for await (const found of reader.readEntry(address, place)) {
      if (found.kind === 'done') yield found.place;
    }
  }

  /** Reads an entry of a folder. Nothing it may turn out to be blocks. */
  async *readEntry(address: string | Buffer, place: string, folder = place): Reading {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    let fd: number | undefined;
    try {
      fd = openSync(address, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      const fault = entryFault(error, place);
      this.#estimate.add(fault);
      yield fault;
    }
    if (fd !== undefined) yield* this.readOpen(fd, place, folder);
  }

  /** Reads an open file, and closes it. */
  async *readOpen(fd: number, place: string, folder = place): Reading {
    try {
      const stats = fstatSync(fd);
      const { size } = stats;
      if (!stats.isFile()) yield { kind: 'skipped', place, reason: REASON.notRegular };
      else yield* this.#read(chunksOfFile(fd, size), { place, folder, size });
    } finally {
      closeSync(fd);
    }
  }

  /** Reads a content that has no file, to its end. */
  readStream(chunks: AsyncIterable<Buffer>, place: string): Reading {
    return this.#read(chunks, { place, folder: place, size: undefined });
  }

  async *#read(chunks: Chunks, where: Where): Reading {
    for await (const found of this.#messagesOf(chunks, where)) {
      this.#estimate.add(found);
      yield found;
    }
  }

  async *#messagesOf(chunks: Chunks, where: Where): Reading {
    const { place } = where;
    const outside = new ByteWindow(chunks);
    let content = outside;
    try {
      const packing = packingOf(await outside.fill(MAGIC_BYTES));
      if (packing !== 'none') {
        content = new ByteWindow(packing === 'gzip' ? gunzip(outside) : unzstd(outside));
      }
      const start = this.#startOf(await content.fill(HEAD_BYTES), place);
      if ('kind' in start) {
        if (content.fault === undefined) yield start;
      } else if (start.form === 'message') {
        const size = packing === 'none' ? where.size : undefined;
        yield* this.#single(content, start, { ...where, size });
      } else {
        yield* this.#several(content, start, where, outside);
      }
      const { fault } = content;
      if (fault !== undefined) yield { kind: 'failed', place, reason: fault };
    } finally {
      await content.close();
      await outside.close();
    }
  }

  /** Where mail begins in a content; or what it is instead. */
  #startOf(head: Buffer, place: string): MessageStart | Found {
    if (head.length === 0) return { kind: 'skipped', place, reason: REASON.empty };
    const other = unopened(head, this.#verdict);
    const start = other === undefined ? messageStart(head) : undefined;
    if (start !== undefined) return start;
    const packed = other ?? deflated(head, this.#verdict);
    if (packed === undefined) return { kind: 'skipped', place, reason: REASON.notMail };
    return { kind: packed.mayBeOther ? 'skipped' : 'failed', place, reason: packed.reason };
  }

  /** A message that is a content of its own; its size is known or `undefined`. */
  async *#single(content: ByteWindow, start: MessageStart, where: Where): Reading {
    const { maxBytes, isDone } = this.#options;
    const { place, folder, size } = where;
    if (isDone(place)) {
      yield { kind: 'done', place, folder };
      return;
    }
    content.drop(start.at);
    let length = (size ?? 0) - start.at;
    if (length <= maxBytes) length = (await content.fill(maxBytes + 1)).length;
    if (length <= maxBytes) {
      if (content.fault !== undefined) return;
      const body = withoutTrailer(content.bytes, start.lead);
      yield this.#judged(body, headerOf(body) ?? '', where);
      return;
    }
    if (size === undefined) {
      // Its length shows at the end alone.
      while ((await content.fill(1)).length > 0) content.drop(content.bytes.length);
      length = content.dropped - start.at;
    }
    if (content.fault === undefined) {
      yield { kind: 'failed', place, reason: overSize(length, maxBytes) };
    }
  }

  /** An mbox, or what doveadm printed. */
  async *#several(
    content: ByteWindow,
    start: MessageStart,
    where: Where,
    outside: ByteWindow,
  ): Reading {
    const { maxBytes, isDone } = this.#options;
    const isMbox = start.form === 'mbox';
    const dialect = isMbox ? mboxDialect(start.lead) : fetchDialect(start.lead);
    content.drop(start.headerAt - 1);
    for await (const part of splitMessages(content, dialect, maxBytes)) {
      const { number, bytes, body } = part;
      const place = nthPlace(where.place, number);
      // A message in the form of an mbox lies in a folder as any other.
      const folder = part.isLast && number === 1 ? where.folder : where.place;
      const { size } = where;
      if (size !== undefined) {
        const read = (content.dropped + bytes) / content.pulled;
        this.#estimate.inside(number, (outside.pulled / size) * read);
      }
      const header = body === undefined ? undefined : headerOf(body);
      if (isDone(place)) yield { kind: 'done', place, folder };
      else if (body === undefined) {
        yield { kind: 'failed', place, reason: overSize(bytes, maxBytes) };
      } else if (header === undefined) {
        yield { kind: 'skipped', place, reason: REASON.notMail };
      } else {
        // A copy, lest the rest of the window stays in memory for it; a large one has hardly a rest.
        const own = body.length > LARGE_BYTES ? body : Buffer.from(body);
        yield isMbox
          ? this.#judged(unquote(own), header, { place, folder }, whyDeleted(header))
          : this.#judged(own, header, { place, folder });
      }
    }
  }

  /** @param passed why it is not taught, where something says so */
  #judged(
    body: Buffer,
    header: string,
    { place, folder }: Omit<Where, 'size'>,
    passed?: string,
  ): Found {
    const reason = whyNoMessage(header) ?? passed;
    if (reason !== undefined) return { kind: 'passed', place, folder, reason };
    const inner = unwrapped(body);
    const isUnwrapped = inner !== body;
    return { kind: 'message', place, folder, body: inner, ...(isUnwrapped && { isUnwrapped }) };
  }
}

/** Two copies of larger messages would be too much. */
const LARGE_BYTES = 1024 * 1024;

/** Where a content lies, in which mail folder, and how many bytes it has. */
interface Where {
  readonly place: string;
  readonly folder: string;
  readonly size: number | undefined;
}
