import { existsSync, readFileSync } from 'node:fs';
import type { FoundFile } from './spool.ts';

/**
 * What must hold of the files of a spool at any moment, whoever was killed where: each is whole, and
 * no message is in two places.
 */

/** Places on the way to rspamd: a message is in one of them at most. */
const ON_THE_WAY = new Set(['staged', 'queue', 'quarantine', 'release']);

/**
 * What is wrong. To be asked while no daemon runs; a writer may be at work in the drop directory.
 * @param bodiesOf every body that was ever written under a name
 */
export function violationsIn(
  files: readonly FoundFile[],
  bodiesOf: (name: string) => readonly Buffer[],
): string[] {
  const violations: string[] = [];
  const onTheWay = new Map<string, FoundFile[]>();
  for (const file of files) {
    const room = roomOf(file);
    // A file of the drop directory is the writer's, and half a copy has no name yet.
    if (room === 'drop' || room === 'tmp' || file.name.endsWith('.json')) continue;
    if (!isOneOf(file, bodiesOf(file.name))) {
      violations.push(`${file.place}/${file.name} is no message that was judged`);
    }
    if (!ON_THE_WAY.has(room)) continue;
    onTheWay.set(file.name, [...(onTheWay.get(file.name) ?? []), file]);
  }
  for (const [name, places] of onTheWay) {
    if (places.length === 1 || isHalfWay(places)) continue;
    violations.push(`${name} lies in ${places.map(({ place }) => place).join(' and ')}`);
  }
  return violations;
}

/** Half-way between two file systems the same verdict lies staged and in the queue. */
function isHalfWay(places: readonly FoundFile[]): boolean {
  const [one, other] = places;
  if (places.length !== 2 || one === undefined || other === undefined) return false;
  const rooms = [roomOf(one), roomOf(other)].sort().join();
  return rooms === 'queue,staged' && verdictOf(one) === verdictOf(other);
}

/** `drop`, `queue`, ... */
export function roomOf({ place }: FoundFile): string {
  return place.split('/')[0] ?? '';
}

/** `spam` or `ham`; `undefined` for a temporary file. */
export function verdictOf({ place }: FoundFile): string | undefined {
  return place.split('/')[1];
}

/** Whether the file holds one of these bodies, byte for byte; false when it is gone by now. */
export function isOneOf({ path }: FoundFile, bodies: readonly Buffer[]): boolean {
  if (!existsSync(path)) return false;
  const found = readFileSync(path);
  return bodies.some((body) => body.equals(found));
}
