import { defineConfig } from 'vitest/config';
import { LongFirst } from './test/support/long-first.ts';
import { ordinaryUser } from './test/support/ordinary-user.ts';
import { startRun } from './test/support/run.ts';

startRun();

const UNPRIVILEGED = ['test/**/unprivileged.test.ts'];
const REAL = ['test/real/**/*.test.ts', 'test/demo/**/*.test.ts'];
const BROWSER = ['test/browser/**/*.test.ts'];
const TORTURE = ['test/torture/**/*.test.ts'];
/** They replace a module, or measure the memory of their process. */
const ALONE = ['test/spool/deaf-watcher.test.ts', 'test/relearn/sources/masses.test.ts'];

/**
 * `npm test` is all but the torture, which tries to break the program and takes its time. `real` needs
 * rspamd and Redis, `browser` chromium.
 */
export default defineConfig({
  test: {
    // Most tests wait for a child process or a server most of the time.
    maxWorkers: 6,
    // No verdict by the clock, on a busy machine either: this is for what hangs.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Some hold what a proxy or a terminal saw against time-outs of a second, and a busy machine sees it
    // late. The reporter names each that needed it.
    retry: ['', 'false'].includes(process.env['CI'] ?? '') ? 0 : 1,
    coverage: { include: ['src/**'] },
    reporters: ['default', './test/support/remarks.ts'],
    // The files of a worker share the modules, which saves a third of the CPU time; those that replace
    // modules, or patch Node's, have a process for each file.
    isolate: false,
    sequence: { sequencer: LongFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...UNPRIVILEGED, ...REAL, ...BROWSER, ...TORTURE, ...ALONE],
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, isolate: true } },
      { extends: true, test: { name: 'real', include: REAL } },
      { extends: true, test: { name: 'browser', include: BROWSER } },
      {
        extends: true,
        test: {
          name: 'torture',
          include: TORTURE,
          exclude: UNPRIVILEGED,
          isolate: true,
        },
      },
      {
        extends: true,
        test: { name: 'ordinary user', include: UNPRIVILEGED, pool: ordinaryUser },
      },
    ],
  },
});
