import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LogLine } from '../lab/daemon.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';

/** One file of a spool or its state dir. */
export interface FoundFile {
  readonly room: 'drop' | 'staged' | 'queue' | 'quarantine' | 'release' | 'archive' | 'tmp';
  /** Such as `spam`, `ham/2026-01-31`; of a temporary file nothing. */
  readonly place: string;
  readonly name: string;
  readonly path: string;
}

interface Spool {
  readonly lib: string;
  readonly stateDir: string;
  /** @defaultValue spam and ham */
  readonly verdicts?: readonly Verdict[];
}

const STATE = ['queue', 'quarantine', 'release', 'archive', 'tmp'] as const;
const STAGED = '.learnd-';
/** Places on the way to rspamd: a message is in one of them at most. */
const ON_THE_WAY = new Set<string>(['staged', 'queue', 'quarantine', 'release']);

/** Everything that lies in the drop directory and in these rooms of the state dir. */
export function filesOf(
  { lib, stateDir, verdicts = VERDICTS }: Spool,
  rooms: readonly FoundFile['room'][] = STATE,
): FoundFile[] {
  const dropped = verdicts.flatMap((verdict) =>
    list('drop', join(lib, verdict)).map((file) => {
      const isStaged = file.name.startsWith(STAGED);
      const name = isStaged ? file.name.slice(STAGED.length) : file.name;
      return { ...file, room: isStaged ? 'staged' : 'drop', place: verdict, name } as const;
    }),
  );
  return [...dropped, ...rooms.flatMap((room) => list(room, join(stateDir, room)))];
}

function list(room: FoundFile['room'], folder: string): FoundFile[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => {
      return {
        room,
        place: parentPath.slice(folder.length + 1),
        name,
        path: join(parentPath, name),
      };
    });
}

/** `drop/spam/NAME`, for people. */
export function told({ room, place, name }: FoundFile): string {
  return `${room}/${place}/${name}`;
}

/** Whether the file holds this, byte for byte; false when it is gone by now. */
export function holds({ path }: FoundFile, body: Buffer): boolean {
  return existsSync(path) && body.equals(readFileSync(path));
}

/**
 * What is wrong at this moment: a file that is not whole, a message in two places. To be asked while
 * no daemon runs; a writer may be at work in the drop directory.
 */
export function violationsIn(
  files: readonly FoundFile[],
  isWhole: (file: FoundFile) => boolean,
): string[] {
  const violations: string[] = [];
  for (const file of files) {
    // A file of the drop directory is the writer's, and half a copy has no name yet.
    if (file.room === 'drop' || file.room === 'tmp' || file.name.endsWith('.json')) continue;
    if (!isWhole(file)) violations.push(`${told(file)} is not as it was written`);
  }
  for (const places of byName(files.filter(({ room }) => ON_THE_WAY.has(room))).values()) {
    if (places.length === 1 || isHalfWay(places)) continue;
    violations.push(`in two places: ${places.map(told).join(' and ')}`);
  }
  return violations;
}

/** What was said before ended with an earlier process, or with the state dir that was replaced. */
export const STARTS: ReadonlySet<string> = new Set(['daemon.started', 'daemon.owner']);

/** Places whose last word in a log is a fault. */
export function faultyPlaces(lines: Iterable<LogLine>): string[] {
  const faulty = new Set<string>();
  for (const { event, fields } of lines) {
    if (STARTS.has(event)) faulty.clear();
    if (event === 'disk.fault') faulty.add(String(fields['place']));
    if (event === 'disk.ok') faulty.delete(String(fields['place']));
  }
  return [...faulty];
}

/** Files by their names; a reason of the quarantine has a name of its own. */
export function byName(files: readonly FoundFile[]): Map<string, FoundFile[]> {
  const found = new Map<string, FoundFile[]>();
  for (const file of files) found.set(file.name, [...(found.get(file.name) ?? []), file]);
  return found;
}

/** Half-way between two file systems the same verdict lies staged and in the queue. */
function isHalfWay(places: readonly FoundFile[]): boolean {
  const rooms = places.map(({ room }) => room).sort();
  return rooms.join() === 'queue,staged' && places[0]?.place === places[1]?.place;
}
