import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { Verdict } from '../verdict.ts';

/**
 * What a message is to the spool: a verdict, a key and a stamp. Nothing here touches a file.
 *
 * A file name is bytes. Inside the program a raw name is a string of one character a byte
 * (`latin1`), so that it can be a map's key and goes back to the same bytes; a key is the encoded,
 * harmless form of it, under which the message lives in the state dir.
 */

/** What must not change between the gate and the disposal. */
export interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

export function stampOf(stats: BigIntStats): Stamp {
  return { dev: stats.dev, ino: stats.ino, size: stats.size, mtimeNs: stats.mtimeNs };
}

export function sameStamp(a: Stamp, b: Stamp): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

/** A message in the queue. */
export interface QueueEntry {
  readonly verdict: Verdict;
  readonly key: string;
  readonly bytes: number;
  readonly stamp: Stamp;
}

export function entryOf(verdict: Verdict, key: string, stats: BigIntStats): QueueEntry {
  return { verdict, key, bytes: Number(stats.size), stamp: stampOf(stats) };
}

/** How a file is named in its class folder that is half-way to another file system: with its key. */
export const STAGED_PREFIX = '.learnd-';

/** The key of a file that is half-way to another file system; `undefined` of any other. */
export function stagedKey(rawName: string): string | undefined {
  const key = rawName.slice(STAGED_PREFIX.length);
  return rawName.startsWith(STAGED_PREFIX) && isKey(key) ? key : undefined;
}

/** Names a file, or a message, among those of both verdicts. */
export function idOf(verdict: Verdict, name: string): string {
  return `${verdict}/${name}`;
}

/** What the spool tells whoever delivers its messages. */
export interface SpoolEvents {
  /** A message came into the queue; `settled` when it is known to be complete. */
  enqueued(entry: QueueEntry, settled: boolean): void;
  /** What waited of this key is gone: a newer verdict takes its place. */
  superseded(verdict: Verdict, key: string): void;
  /** A released message is gone: what waits of its key is newer, and stays. */
  outdated(verdict: Verdict, key: string): void;
  /** The queue may hold messages that no event named, or others than were named. */
  rescan(): void;
}

/** Mode 0660: kopano-spamd's last step, the sign that the message is complete. */
export function bearsFinishingMark(mode: bigint): boolean {
  return (mode & 0o7777n) === 0o660n;
}

/** How long a file must lie still, in milliseconds: a tenth of `settleMs` once it is marked. */
export function settleTime(marked: boolean, settleMs: number): number {
  return marked ? settleMs / 10 : settleMs;
}

const LONGEST_KEY = 200;
const HASH_LENGTH = 32;

/**
 * The key of a raw name: bytes outside `A-Za-z0-9._=@+-`, a leading `.` or `-`, `%` and the dot of
 * a trailing `.json` become `%XX`. What would be longer than 200 bytes is cut and gets `~` and a
 * hash; `~` never occurs otherwise, so no two names share a key.
 */
export function encodeName(rawName: string): string {
  const encoded = rawName
    .replace(/[^A-Za-z0-9._=@+-]/g, percent)
    .replace(/^[.-]/, percent)
    .replace(/\.json$/, (ending) => percent('.') + ending.slice(1));
  if (encoded.length <= LONGEST_KEY) return encoded;
  const hash = createHash('sha256').update(rawName, 'latin1').digest('hex').slice(0, HASH_LENGTH);
  const kept = encoded.slice(0, LONGEST_KEY - HASH_LENGTH - 1).replace(/%.?$/, '');
  return `${kept}~${hash}`;
}

/** What `encodeName` makes: nothing else is the name of a message in the state dir. */
export function isKey(name: string): boolean {
  return /^(?![.-])[A-Za-z0-9._=@+%~-]{1,200}$/.test(name) && !name.endsWith('.json');
}

/** The raw name that a key stands for; `undefined` for one that was cut and hashed. */
export function decodeKey(key: string): string | undefined {
  if (key.includes('~')) return undefined;
  return key.replace(/%([0-9A-F]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
