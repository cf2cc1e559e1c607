import { readFileSync } from 'node:fs';
import { isUnmapped } from '../spool/user-namespace.ts';

/** Who somebody is, for people: numbers with the names that this machine has for them. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** All groups, the first one included. */
  readonly groups: readonly number[];
}

export function userName(uid: number | bigint): string {
  return named('uid', uid, '/etc/passwd');
}

export function groupName(gid: number | bigint): string {
  return named('gid', gid, '/etc/group');
}

/** The name alone, or the number where there is none: for a command line. */
export function plainName(kind: 'user' | 'group', id: number | bigint): string {
  return lookUp(kind === 'user' ? '/etc/passwd' : '/etc/group', id) ?? String(id);
}

function named(kind: 'uid' | 'gid', id: number | bigint, file: string): string {
  if (isUnmapped(kind, id)) return `${kind} ${id} (not mapped into this container)`;
  const name = lookUp(file, id);
  return name === undefined ? `${kind} ${id}` : `${kind} ${id} (${name})`;
}

function lookUp(file: string, id: number | bigint): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // a small container has none
  }
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':');
    if (name !== undefined && name !== '' && number === String(id)) return name;
  }
  return undefined;
}
