import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { byLength } from '../support/length.ts';
import { chanceFor } from '../support/seed.ts';
import { commands, setups } from './model-commands.ts';
import { Killed, installMachine } from './model-machine.ts';
import type { Machine } from './model-machine.ts';
import { Run } from './model-run.ts';

/**
 * The model: random commands against the daemon's whole inside on a real file system, the laws of
 * DESIGN.md after every step, and the promise in the end. Time, controllers and the kernel's locks
 * and signals are the model's own.
 *
 * `TEST_SEED`, and `TEST_PATH` with the path that a failure prints, replay it.
 */
const RUNS = byLength({ short: 200, middle: 1_000, long: 20_000 });
const MINUTES = byLength({ short: 3, middle: 10, long: 120 });

const stage = vi.hoisted(() => ({
  machine: undefined as Machine | undefined,
  fault: undefined as unknown,
}));

vi.mock('chokidar', () => ({ watch: (path: string) => stage.machine?.watch(path) }));
vi.mock('node:child_process', async (original) => ({
  ...(await original<object>()),
  spawn: (_program: string, _args: unknown, options: { stdio: readonly unknown[] }) => {
    const process = stage.machine?.running;
    if (process === undefined) throw new Error('no daemon is running');
    return stage.machine?.flock(process, Number(options.stdio[3]));
  },
}));
// Real time that src takes a breath by has no place here.
vi.mock('node:timers/promises', async (original) => ({
  ...(await original<object>()),
  setImmediate: () => Promise.resolve(),
}));
// A collection for each of many daemons in one process would take most of the time.
vi.mock('../../src/heap.ts', () => ({
  HeapKeeper: class {
    look(): void {
      // nothing is collected
    }
  },
}));

let restore: () => void;
beforeAll(() => {
  restore = installMachine(() => stage.machine);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', onRejection);
  const restoreFs = restore;
  restore = () => {
    restoreFs();
    process.off('unhandledRejection', onRejection);
    for (const other of others) process.on('unhandledRejection', other);
  };
});
afterAll(() => {
  restore();
});

/** What a killed process had in hand fails, and nobody hears of it; of the living that is a fault. */
function onRejection(reason: unknown): void {
  if (reason instanceof Killed) return;
  stage.fault ??= reason;
}

test(
  'whatever happens in whatever order, each last verdict is learned, and nothing is lost',
  { timeout: MINUTES * 60_000 },
  async () => {
    const { seed } = chanceFor('model');
    const path = process.env['TEST_PATH'];
    await fc.assert(
      fc.asyncProperty(
        setups,
        fc.array(commands, { minLength: 1, maxLength: 40, size: 'max' }),
        async (setup, list) => {
          const run = new Run(setup);
          stage.machine = run.world.machine;
          const t0 = process.cpuUsage();
          try {
            await run.go(list);
            if (stage.fault !== undefined) throw stage.fault;
          } finally {
            if (process.env['DEBUG_MODEL'])
              process.stderr.write(
                `${((process.cpuUsage(t0).user + process.cpuUsage(t0).system) / 1000).toFixed(0)} ms, ${list.length} commands, ${(run.world.timeline.now / 1000).toFixed(0)} s\n`,
              );
            run.world.close();
            stage.machine = undefined;
          }
        },
      ),
      {
        seed,
        numRuns: Number(process.env['RUNS'] ?? RUNS),
        interruptAfterTimeLimit: MINUTES * 50_000,
        markInterruptAsFailure: true,
        ...(path === undefined ? {} : { path, endOnFailure: true }),
      },
    );
    expect(RUNS).toBeGreaterThan(0);
  },
);
