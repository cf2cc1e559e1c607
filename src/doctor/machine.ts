import { accessSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { plainName, readText } from '../host.ts';
import { isUnmapped } from '../spool/user-namespace.ts';

/** What this machine says of its users and files. */

/** Whom a process runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** All groups, the first one included. */
  readonly groups: readonly number[];
}

/** A user or a group for people: the number with its name. */
export function named(kind: 'uid' | 'gid', id: number | bigint): string {
  if (isUnmapped(kind, id)) return `${kind} ${id} (not mapped into this container)`;
  const name = plainName(kind, id);
  return name === String(id) ? `${kind} ${id}` : `${kind} ${id} (${name})`;
}

/** Whether this machine has a user or a group of that name. */
export function hasName(kind: 'uid' | 'gid', name: string): boolean {
  const lines = readText(kind === 'uid' ? '/etc/passwd' : '/etc/group').split('\n');
  return lines.some((line) => line.startsWith(`${name}:`));
}

/** The code of why access is refused to this process; `undefined` when it isn't. */
export function accessFault(place: string | Buffer, mode: number): string | undefined {
  try {
    accessSync(place, mode);
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? 'unknown';
  }
}
