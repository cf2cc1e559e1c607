import { createHash } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, readSync, writeFileSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { closeUnwritten } from '../spool/folder.ts';
import type { Folder } from '../spool/folder.ts';
import type { QueueEntry } from '../spool/message.ts';

/**
 * What one filter has done with messages that lie in the queue because another filter needs them
 * still: `done-FILTER` in the state dir, where several filters are taught. A record counts for the very
 * file that it was written for. Lines have one length, so that what a crash tore is cut off; a record
 * that a power failure lost only makes the message be posted once more.
 *
 *     KEY           WHAT  FILE
 *     8 bytes, hex  a-z   8 bytes, hex
 *
 * Key and file (verdict, inode, size, time) are 64 bits of SHA-256. In memory a record takes about
 * 90 bytes.
 */
type Standing =
  | { readonly kind: 'learned' | 'duplicate' | 'refused' }
  /** Posts that were answered 200, without a proof so far. */
  | { readonly kind: 'posted'; readonly posts: number };

const ENDS = ['learned', 'duplicate', 'refused'] as const;
const LETTERS = { learned: 'l', duplicate: 'd', refused: 'r' } as const;
const GONE = '-';
/** One post is `A`. */
const POSTED = 'A'.charCodeAt(0) - 1;
const LINE_BYTES = 16 + 1 + 1 + 1 + 16 + 1;
const LINE = /^([0-9a-f]{16}) ([ldrA-Z-]) ([0-9a-f]{16})\n$/;
const CHUNK_LINES = 10_000;
/** So many lines that say nothing any more are left in the file. */
const MOST_SPENT = 100_000;

export class DoneLog {
  /** By key; the lowest byte of a record is its letter, the others name the file. */
  readonly #records = new Map<bigint, bigint>();
  readonly #fd: number;
  #isOpen = true;
  /** In the file. */
  #lines = 0;

  /** @throws the system's error for a disk fault */
  constructor(root: Folder, filter: string) {
    const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
    const flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW;
    this.#fd = openSync(root.at(`done-${filter}`), flags, 0o600);
    try {
      this.#load();
    } catch (error) {
      closeUnwritten(this.#fd);
      throw error;
    }
  }

  /** What the filter has done with this file, if anything. */
  of(entry: QueueEntry): Standing | undefined {
    const record = this.#records.get(hashOf(entry.key));
    if (record === undefined || record >> 8n !== fileOf(entry) >> 8n) return undefined;
    return standingOf(record);
  }

  /** @throws the system's error for a disk fault; the record then holds for this process alone */
  set(entry: QueueEntry, standing: Standing): void {
    const letter =
      standing.kind === 'posted'
        ? String.fromCharCode(POSTED + Math.min(standing.posts, 26))
        : LETTERS[standing.kind];
    this.#put(hashOf(entry.key), letter, fileOf(entry));
  }

  /** True when the filter has done with the file of that key that it saw last. */
  hasDone(key: string): boolean {
    const record = this.#records.get(hashOf(key));
    return record !== undefined && standingOf(record).kind !== 'posted';
  }

  /** The message has left the queue, or is another one. */
  forget(key: string): void {
    const hash = hashOf(key);
    const record = this.#records.get(hash);
    if (record === undefined) return;
    try {
      this.#put(hash, GONE, record);
      if (this.#lines > this.#records.size + MOST_SPENT) this.#shorten();
    } catch (error) {
      // What stays in the file names a file that is gone.
      if (errnoOf(error) === undefined) throw error;
    }
  }

  /** What comes later is not kept: the number of its descriptor may belong to another file by then. */
  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }

  #put(key: bigint, letter: string, file: bigint): void {
    this.#take(key, letter, file);
    this.#append(`${hex(key)} ${letter} ${hex(file)}\n`);
  }

  /** Appends lines as a whole or not at all: behind a torn one none would begin where lines do. */
  #append(lines: string): void {
    if (!this.#isOpen) return;
    try {
      writeFileSync(this.#fd, lines); // goes on after a short write
    } catch (error) {
      ftruncateSync(this.#fd, this.#lines * LINE_BYTES);
      throw error;
    }
    this.#lines += lines.length / LINE_BYTES;
  }

  #take(key: bigint, letter: string, file: bigint): void {
    if (letter === GONE) this.#records.delete(key);
    else this.#records.set(key, ((file >> 8n) << 8n) | BigInt(letter.charCodeAt(0)));
  }

  #load(): void {
    const chunk = Buffer.alloc(CHUNK_LINES * LINE_BYTES);
    let good = 0;
    for (;;) {
      const bytes = readSync(this.#fd, chunk, 0, chunk.length, good);
      for (let at = 0; at + LINE_BYTES <= bytes; at += LINE_BYTES) {
        const match = LINE.exec(chunk.toString('latin1', at, at + LINE_BYTES));
        const [, key, letter = GONE, file] = match ?? [];
        if (match !== null) this.#take(BigInt(`0x${key ?? ''}`), letter, BigInt(`0x${file ?? ''}`));
      }
      const lines = Math.floor(bytes / LINE_BYTES);
      this.#lines += lines;
      good += lines * LINE_BYTES;
      if (lines < CHUNK_LINES) break;
    }
    ftruncateSync(this.#fd, good);
  }

  /** Begins the file anew with what still counts. A crash meanwhile makes messages be posted again. */
  #shorten(): void {
    ftruncateSync(this.#fd, 0);
    this.#lines = 0;
    let text = '';
    for (const [key, record] of this.#records) {
      text += `${hex(key)} ${String.fromCharCode(Number(record & 0xffn))} ${hex(record)}\n`;
      if (text.length < CHUNK_LINES * LINE_BYTES) continue;
      this.#append(text);
      text = '';
    }
    this.#append(text);
  }
}

function standingOf(record: bigint): Standing {
  const letter = Number(record & 0xffn);
  const kind = ENDS.find((each) => LETTERS[each].charCodeAt(0) === letter);
  return kind === undefined ? { kind: 'posted', posts: letter - POSTED } : { kind };
}

function hashOf(text: string): bigint {
  return createHash('sha256').update(text, 'latin1').digest().readBigUInt64BE();
}

/** The number of its device may be another one after the next boot. */
function fileOf({ verdict, stamp: { ino, size, mtimeNs } }: QueueEntry): bigint {
  return hashOf(`${verdict} ${ino} ${size} ${mtimeNs}`);
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}
