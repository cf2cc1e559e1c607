import { resolve } from 'node:path';

/**
 * Places and paths. A raw path is a string of one character a byte (`latin1`), absolute, as names in
 * `spool/message.ts` are; a place is its harmless form: bytes that aren't printable ASCII, `%` and
 * `#` become `%XX`, so that it is one line, goes back to the same bytes, and `#N` can follow.
 */

export const STDIN = '-';

/** The raw path of what an operator typed. Symlinks in it stay as they are. */
export function rawPathOf(path: string): string {
  return Buffer.from(resolve(path)).toString('latin1');
}

export function encodePlace(raw: string): string {
  return UNSAFE.test(raw) ? raw.replace(EVERY_UNSAFE, percentEncoded) : raw;
}

/** The place of message `number` (from 1) of the file at `place`. */
export function nthPlace(place: string, number: number): string {
  return number === 1 ? place : `${place}#${number}`;
}

/** What Node's calls take for a raw path: names that aren't ASCII need their bytes. */
export function nodePathOf(raw: string): string | Buffer {
  return BEYOND_ASCII.test(raw) ? Buffer.from(raw, 'latin1') : raw;
}

const UNSAFE = /[^ -~]|[%#]/;
const EVERY_UNSAFE = /[^ -~]|[%#]/g;
const BEYOND_ASCII = /[\u0080-\u00ff]/;

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
