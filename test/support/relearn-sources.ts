import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { PathSource } from '../../src/relearn/sources/path-source.ts';
import type { MadeMessage } from '../lab/messages.ts';
import type { Found, ReadingOptions, Source } from '../../src/relearn/sources/source.ts';

/** Mail and mboxes to read, and reading them. */

export const MAX_BYTES = 1_000_000;

export function readingOptions(changes: Partial<ReadingOptions> = {}): ReadingOptions {
  return {
    maxBytes: MAX_BYTES,
    isDone: () => false,
    stdin: () => {
      throw new Error('standard input was opened');
    },
    ...changes,
  };
}

export function mail(subject: string, text = 'Some text.\n'): string {
  return `From: a@example.org\nTo: b@example.org\nSubject: ${subject}\n\n${text}`;
}

/** As mboxrd, with dated From_ lines. */
export function mboxOf(messages: readonly string[]): string {
  const from = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
  return messages.map((message) => `${from}${message.replace(/^(?=>*From )/gm, '>')}\n`).join('');
}

/** Writes messages as a folder with spam/ and ham/. @returns it */
export function corpusIn(
  folder: string,
  messages: readonly Pick<MadeMessage, 'verdict' | 'name' | 'raw'>[],
): string {
  for (const verdict of ['spam', 'ham']) mkdirSync(`${folder}/${verdict}`, { recursive: true });
  for (const { verdict, name, raw } of messages) putIn(folder, `${verdict}/${name}`, raw);
  return folder;
}

/** Writes a file below a folder, text as Latin 1. @returns its path */
export function putIn(folder: string, name: string, content: string | Buffer): string {
  const path = `${folder}/${name}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, typeof content === 'string' ? 'latin1' : undefined);
  return path;
}

export async function readAll(source: Source): Promise<Found[]> {
  const all: Found[] = [];
  for await (const found of source.read()) all.push(found);
  return all;
}

/** What a path holds as spam. */
export function sourceAt(path: string, changes: Partial<ReadingOptions> = {}): PathSource {
  return new PathSource(path, 'spam', readingOptions(changes));
}

/** Standard input, as spam. */
export function stdinOf(
  content: AsyncIterable<Buffer>,
  changes: Partial<ReadingOptions> = {},
): PathSource {
  return sourceAt('-', { stdin: () => content, ...changes });
}

export function readStdin(...input: Parameters<typeof stdinOf>): Promise<Found[]> {
  return readAll(stdinOf(...input));
}

/** In one line each, sorted, the folder left out of the places: `message a.eml Subject`. */
export function told(found: readonly Found[], folder = ''): string[] {
  return found
    .map((each) => {
      const place = each.place.replace(`${folder}/`, '');
      if (each.kind === 'message') return `message ${place} ${subjectOf(each.body)}`;
      return 'reason' in each ? `${each.kind} ${place}: ${each.reason}` : `${each.kind} ${place}`;
    })
    .sort();
}

function subjectOf(body: Buffer): string {
  return /^Subject: ([^\r\n]*)/m.exec(body.toString('latin1'))?.[1] ?? '';
}

export function bodiesOf(found: readonly Found[]): string[] {
  return found.flatMap((each) => (each.kind === 'message' ? [each.body.toString('latin1')] : []));
}

/** Cuts a text into pieces of these numbers of bytes, by turns. */
export async function* inPieces(
  content: string | Buffer,
  ...sizes: readonly number[]
): AsyncGenerator<Buffer, void, undefined> {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? Infinity;
    yield await Promise.resolve(bytes.subarray(at, at + size));
    at += size;
  }
}

/** A content that breaks off after a beginning. */
export async function* breakingOff(
  beginning: string | Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  yield* inPieces(beginning, 10);
  throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
}
