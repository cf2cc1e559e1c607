import { renameSync, writeFileSync } from 'node:fs';
import { getEventListeners } from 'node:events';
import { getHeapSpaceStatistics } from 'node:v8';

/**
 * Loaded into the daemon before its first line (`preload.ts`). On SIGUSR2 it collects garbage and
 * writes to `PROBE_FILE` what is left in memory: the heap, what keeps the event loop busy, and how
 * many entries each map and set of the daemon holds, by the line of code that made it.
 *
 * It notes maps, sets and abort controllers weakly as they are made, so that it keeps nothing alive;
 * needs `--expose-gc`.
 */
export interface Probe {
  readonly heapUsed: number;
  /** What of it is machine code, which grows for as long as V8 finds something worth compiling. */
  readonly machineCode: number;
  /** What is active, by kind: `Timeout`, `TCPServerWrap`, `FSEventWrap` ... */
  readonly resources: Readonly<Record<string, number>>;
  /** Entries of the maps and sets that are alive, and listeners of abort signals, by their origin. */
  readonly entries: Readonly<Record<string, number>>;
}

interface Note {
  readonly origin: string;
  readonly holder: WeakRef<object>;
}

/** Notes of what is gone are cleared away when this many more have come. */
const CLEARED_EVERY = 5_000;

/** Each origin once: cut out of a stack, a string of its own would keep all of that stack. */
const origins = new Map<string, string>();
let notes: Note[] = [];
let clearedAt = CLEARED_EVERY;

/** Replaces a global constructor by one that notes what it makes; `instanceof` works as before. */
function watchConstructor(name: 'Map' | 'Set' | 'AbortController'): void {
  const watched = new Proxy(globalThis[name], {
    construct(target, args: unknown[], newTarget): object {
      const made: unknown = Reflect.construct(
        target,
        args,
        newTarget === watched ? target : newTarget,
      );
      if (typeof made !== 'object' || made === null) throw new Error(`${name} made nothing`);
      const origin = once(`${name} of ${originOf(new Error().stack)}`);
      notes.push({ origin, holder: new WeakRef(made) });
      if (notes.length > clearedAt) clear();
      return made;
    },
  });
  Object.assign(globalThis, { [name]: watched });
}

/** Who of the program made it, in a stack of the bundle: `new LogThrottle, 97:1234`. */
function originOf(stack = ''): string {
  const frames = [...stack.matchAll(/^ +at (?:(.*) \()?\S*kopano-learnd\.mjs:(\d+:\d+)\)?$/gm)];
  // Fields are made in a nameless function of their class.
  const name = frames.map(([, of = '']) => of).find((of) => of !== '' && !of.startsWith('<'));
  return frames.length === 0 ? 'elsewhere' : `${name ?? 'the top'}, ${frames[0]?.[2] ?? ''}`;
}

function once(origin: string): string {
  const known = origins.get(origin);
  if (known === undefined) origins.set(origin, origin);
  return known ?? origin;
}

function clear(): void {
  notes = notes.filter(({ holder }) => holder.deref() !== undefined);
  clearedAt = notes.length + CLEARED_EVERY;
}

function entriesOf(holder: object): number {
  if (holder instanceof AbortController) return getEventListeners(holder.signal, 'abort').length;
  return holder instanceof Map || holder instanceof Set ? holder.size : 0;
}

function counted(names: Iterable<readonly [string, number]>): Record<string, number> {
  const counts = new Map<string, number>();
  for (const [name, count] of names) counts.set(name, (counts.get(name) ?? 0) + count);
  return Object.fromEntries([...counts].filter(([, count]) => count > 0).sort());
}

function look(): Probe {
  globalThis.gc?.();
  clear();
  globalThis.gc?.();
  return {
    heapUsed: process.memoryUsage().heapUsed,
    machineCode: getHeapSpaceStatistics()
      .filter(({ space_name: name }) => name.startsWith('code'))
      .reduce((sum, { space_used_size: size }) => sum + size, 0),
    resources: counted(process.getActiveResourcesInfo().map((kind) => [kind, 1] as const)),
    entries: counted(
      notes.flatMap(({ origin, holder }) => {
        const alive = holder.deref();
        return alive === undefined ? [] : [[origin, entriesOf(alive)] as const];
      }),
    ),
  };
}

const file = process.env['PROBE_FILE'] ?? '';
for (const name of ['Map', 'Set', 'AbortController'] as const) watchConstructor(name);
process.on('SIGUSR2', () => {
  writeFileSync(`${file}.new`, JSON.stringify(look()));
  renameSync(`${file}.new`, file);
});
