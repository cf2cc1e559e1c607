import { readFileSync, readdirSync } from 'node:fs';
import { isUnmapped } from '../spool/user-namespace.ts';

/** What this machine says of its users and processes. What can't be read is empty, and no error. */

/** Whom a process runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** All groups, the first one included. */
  readonly groups: readonly number[];
}

/** A user for people: the number with its name. */
export function userName(uid: number | bigint): string {
  return named('uid', uid);
}

export function groupName(gid: number | bigint): string {
  return named('gid', gid);
}

function named(kind: 'uid' | 'gid', id: number | bigint): string {
  if (isUnmapped(kind, id)) return `${kind} ${id} (not mapped into this container)`;
  const name = plainName(kind, id);
  return name === String(id) ? `${kind} ${id}` : `${kind} ${id} (${name})`;
}

/** The name alone, or the number where there is none: for a command line. */
export function plainName(kind: 'uid' | 'gid', id: number | bigint): string {
  const lines = readText(kind === 'uid' ? '/etc/passwd' : '/etc/group').split('\n');
  const [name = ''] = lines.find((line) => line.split(':')[2] === String(id))?.split(':') ?? [];
  return name === '' ? String(id) : name;
}

/** The ids of all processes. */
export function processIds(): readonly string[] {
  return entriesOf('/proc').filter((name) => /^\d+$/.test(name));
}

export function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A file's bytes, one character each. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
