import type * as Http from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, test, vi } from 'vitest';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import { ignoreKilled } from '../killed.ts';
import { commands, setups } from './commands.ts';
import { installMachine } from './install.ts';
import type { Machine } from './machine.ts';
import { Run } from './run.ts';

/**
 * The model: random commands against the daemon's whole inside on a real file system, the laws of
 * DESIGN.md after every step, and the promise in the end. Time, the controllers, and the kernel's
 * locks, signals and events are the model's own.
 *
 * `TEST_SEED` replays a run, `TEST_PATH` with the path that a failure prints only the failure.
 */
const RUNS = byLength({ short: 200, middle: 500, long: 20_000 });
/** Far more than that takes: what has not ended by then has failed, with the smallest case so far. */
const LIMIT_MS = byLength({ short: 400_000, middle: 600_000, long: 7_200_000 });

const stage = vi.hoisted((): { machine?: Machine | undefined } => ({}));

vi.mock('chokidar', () => ({ watch: (path: string) => stage.machine?.watch(path) }));
vi.mock('node:child_process', async (original) => ({
  ...(await original<object>()),
  spawn: (_program: string, _args: unknown, options: { stdio: readonly unknown[] }) => {
    const process = stage.machine?.running;
    if (process === undefined) throw new Error('no daemon is running');
    return stage.machine?.flock(process, Number(options.stdio[3]));
  },
}));
// The program lets others have the event loop by real time, which has no place here.
vi.mock('node:timers/promises', async (original) => ({
  ...(await original<object>()),
  setImmediate: () => Promise.resolve(),
}));
// Nobody asks for a status here, and what listens would keep a killed daemon in memory.
vi.mock('node:http', async (original) => {
  const http = await original<typeof Http>();
  const createServer = (...args: Parameters<typeof Http.createServer>): Http.Server => {
    const server = http.createServer(...args);
    return Object.assign(server, { listen: () => server });
  };
  return { ...http, createServer };
});

let restore: () => void;
beforeAll(() => {
  restore = installMachine(() => stage.machine);
});
afterAll(() => restore());

/** A promise of a living daemon that nobody cared for. */
let fault: Error | undefined;
ignoreKilled((each) => (fault ??= each));

test(
  'whatever happens in whatever order, each last verdict is learned, and nothing is lost',
  { timeout: LIMIT_MS },
  async () => {
    const { seed } = chanceFor('model', 323_621_801);
    const path = process.env['TEST_PATH'];
    await fc.assert(
      fc.asyncProperty(
        setups,
        fc.array(commands, { minLength: 1, maxLength: 40, size: 'max' }),
        async (setup, list) => {
          const run = new Run(setup);
          stage.machine = run.world.machine;
          try {
            await run.go(list);
            if (fault !== undefined) throw fault;
          } finally {
            run.world.close();
            stage.machine = undefined;
            fault = undefined;
          }
        },
      ),
      {
        seed,
        numRuns: RUNS,
        interruptAfterTimeLimit: LIMIT_MS * 0.9,
        markInterruptAsFailure: true,
        ...(path === undefined ? {} : { path, endOnFailure: true }),
      },
    );
  },
);
