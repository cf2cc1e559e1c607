import { linkSync, readdirSync, symlinkSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { SECOND_FILE_SYSTEM } from '../support/needs.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { folderElsewhere } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';
import { watchFileSystem } from '../support/fs-steps.ts';

/** Long enough for pickup to let others have the event loop. */
const SLOW_MS = 12;

interface Lists {
  /** Folders that were listed twice at a time. */
  readonly overlapping: string[];
  readonly isListing: () => boolean;
}

/** Makes each step in listing a folder take a while. */
function slowLists(onRead: () => void = () => undefined): Lists {
  const overlapping: string[] = [];
  const open = new Map<string, number>();
  onTestFinished(
    watchFileSystem(
      (path) => path.endsWith('/.'),
      ({ call, path, when }) => {
        if (when === 'before' && call === 'Dir.readSync') {
          const end = performance.now() + SLOW_MS;
          while (performance.now() < end) continue;
          onRead();
        }
        if (when === 'after') return;
        const change = { opendirSync: 1, 'Dir.closeSync': -1 }[call] ?? 0;
        const count = (open.get(path) ?? 0) + change;
        open.set(path, count);
        if (count > 1) overlapping.push(path);
      },
    ),
  );
  return { overlapping, isListing: () => [...open.values()].some((count) => count > 0) };
}

test(
  'a turn that plans the next one by itself is still the only one',
  SECOND_FILE_SYSTEM,
  async () => {
    const spool = new TestSpool({ stateDir: `${folderElsewhere()}/state` });
    for (let i = 0; i < 40; i += 1) {
      // What can't be carried over is dropped at once, in the turn that looks at it.
      const own = put(`${spool.lib}/${i}`, 'body');
      linkSync(own, spool.dropPath('spam', `.learnd-${i}.eml`));
    }
    for (let i = 0; i < 5; i += 1) symlinkSync('/', spool.dropPath('ham', `${i}.eml`));
    const bench = new PickupBench({ spool });
    await bench.pickup.openFolders();
    const { overlapping } = slowLists();
    bench.pickup.start();
    await bench.flowUntil(
      'all are looked at',
      () => bench.recorder.of('spool.stuck').length === 40,
    );
    await bench.clock.flow(20_000, 100);
    expect(overlapping).toEqual([]);
    expect(bench.recorder.fieldOf('spool.ignored', 'file').sort()).toEqual(
      readdirSync(spool.dropPath('ham')).sort(),
    );
  },
);

test('a message that falls due during a long sweep is taken during it', async () => {
  const bench = new PickupBench();
  bench.spool.drop('spam', 'a.eml');
  for (let i = 0; i < 100; i += 1) put(bench.spool.dropPath('ham', `.${i}`), '');
  await bench.pickup.openFolders();
  const { isListing } = slowLists();
  bench.pickup.start();
  await bench.flowUntilQueued('spam/a.eml');
  expect(isListing()).toBe(true);
});

test('others get the event loop while a sweep passes hidden names', async () => {
  const bench = new PickupBench();
  for (let i = 0; i < 10; i += 1) put(bench.spool.dropPath('spam', `.${i}`), '');
  let turns = 0;
  const seen = new Set<number>();
  const next = (): void => {
    turns += 1;
    again = setImmediate(next);
  };
  let again = setImmediate(next);
  onTestFinished(() => clearImmediate(again));
  await bench.pickup.openFolders();
  slowLists(() => seen.add(turns));
  await bench.pickup.pass();
  expect(seen.size).toBeGreaterThan(10);
});
