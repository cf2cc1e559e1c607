import type { Verdict } from '../../../src/verdict.ts';
import { real } from './machine.ts';

/**
 * What was written: every message that a writer began, and what its file looked like when. A body
 * names its message in its first line, so that whatever turns up anywhere can be held against what
 * was really written.
 */

/** How rspamd takes a message. */
export type Kind =
  | 'normal'
  /** 204: too short. */
  | 'short'
  /** 413. */
  | 'rejected'
  /** An unknown 5xx, for this one alone. */
  | 'odd'
  /** Crashes the worker: nobody who waits gets an answer. */
  | 'crasher'
  /** It alone gets no answer. */
  | 'hanger'
  /** Learned, and never recognised again. */
  | 'amnesiac';

/** One stretch of time in which a file had so many bytes. */
interface Stretch {
  readonly since: number;
  until: number;
  marked: boolean;
}

/** What a message is made of. */
export interface MadeUp {
  readonly key: string;
  readonly kind: Kind;
  /** What rspamd knows it by: its text. */
  readonly tokens: string;
  readonly messageId: string;
}

/** One verdict of a user, on its way through the writer and the daemon. */
export class Message {
  readonly id: number;
  readonly key: string;
  readonly verdict: Verdict;
  readonly kind: Kind;
  readonly tokens: string;
  readonly messageId: string;
  readonly text: string;
  /** By the length that the file had; the last time that it had it. */
  readonly stretches = new Map<number, Stretch>();
  /** Counts what pickup took; the higher the newer verdict. */
  taken: number | undefined;
  takenAt = 0;
  /** The session that took it into the queue; another one has to let it settle again. */
  knownTo: object | undefined;
  /** Why it need not be anywhere any more. */
  fate: string | undefined;
  /** How long it was when it came to its end. */
  endedAt: number | undefined;

  constructor(id: number, verdict: Verdict, { key, kind, tokens, messageId }: MadeUp) {
    this.id = id;
    this.key = key;
    this.verdict = verdict;
    this.kind = kind;
    this.tokens = tokens;
    this.messageId = messageId;
    this.text = [
      `X-Message: ${this.id}`,
      `Message-ID: <${this.messageId}>`,
      `X-Key: ${this.key}`,
      '',
      `${this.tokens} and nothing else`,
      '',
    ].join('\n');
  }

  get name(): string {
    return `${this.verdict}/${this.key}#${this.id}`;
  }
}

/** Some bytes that turned up somewhere. */
export interface Found {
  readonly message: Message;
  readonly length: number;
  readonly isWhole: boolean;
}

/** A file that a writer made; the same one while it is renamed or rewritten. */
export interface WrittenFile {
  readonly ino: number;
  message: Message;
  length: number;
  marked: boolean;
  /** Counts changes of its stats. */
  changes: number;
  changedAt: number;
}

/** For people. */
export function nameOf({ message, length, isWhole }: Found): string {
  return isWhole ? message.name : `${message.name} up to ${length}`;
}

/** What rspamd knows it by: half a message is another one. */
export function tokensOf({ message, length, isWhole }: Found): string {
  return isWhole ? message.tokens : `${message.tokens} up to ${length}`;
}

export class WrittenFiles {
  readonly messages: Message[] = [];
  readonly #files = new Map<number, WrittenFile>();

  /** Makes a message up. */
  make(verdict: Verdict, what: MadeUp): Message {
    const message = new Message(this.messages.length, verdict, what);
    this.messages.push(message);
    return message;
  }

  get(ino: number): WrittenFile | undefined {
    return this.#files.get(ino);
  }

  fileAt(address: string): WrittenFile | undefined {
    const stats = real.lstatSync(address, { throwIfNoEntry: false });
    return stats === undefined ? undefined : this.#files.get(stats.ino);
  }

  /** A writer opened a file. */
  opened(ino: number, message: Message, marked: boolean, now: number): WrittenFile {
    const file = this.#files.get(ino) ?? {
      ino,
      message,
      length: 0,
      marked,
      changes: 0,
      changedAt: now,
    };
    this.#files.set(ino, file);
    if (file.message !== message) {
      file.message.fate ??= 'overwritten by its writer';
      this.#end(file, now);
    }
    file.message = message;
    file.length = 0;
    this.changed(file, now);
    this.#begin(file, now);
    return file;
  }

  grew(file: WrittenFile, by: number, now: number): void {
    this.#end(file, now);
    file.length += by;
    this.changed(file, now);
    this.#begin(file, now);
  }

  marked(file: WrittenFile, now: number): void {
    file.marked = true;
    const stretch = file.message.stretches.get(file.length);
    if (stretch !== undefined) stretch.marked = true;
    this.changed(file, now);
  }

  changed(file: WrittenFile, now: number): void {
    file.changes += 1;
    file.changedAt = now;
  }

  /**
   * What a body is.
   * @returns a sentence when it is nothing that was ever written
   */
  identify(text: string): Found | string {
    const id = /^X-Message: (\d+)\n/.exec(text)?.[1];
    const message = id === undefined ? undefined : this.messages[Number(id)];
    if (message === undefined) return `nobody wrote ${JSON.stringify(text.slice(0, 60))}`;
    if (!message.text.startsWith(text))
      return `${message.name} was mangled: ${JSON.stringify(text)}`;
    return { message, length: text.length, isWhole: text.length === message.text.length };
  }

  /** What lies at an address; `undefined` when nothing does, or it is empty. */
  findAt(address: string): Found | string | undefined {
    let text: string;
    try {
      text = real.readFileSync(address, 'latin1');
    } catch {
      return undefined;
    }
    return text === '' ? undefined : this.identify(text);
  }

  #begin(file: WrittenFile, now: number): void {
    file.message.stretches.set(file.length, { since: now, until: Infinity, marked: file.marked });
  }

  #end(file: WrittenFile, now: number): void {
    const stretch = file.message.stretches.get(file.length);
    if (stretch !== undefined) stretch.until = now;
  }
}
