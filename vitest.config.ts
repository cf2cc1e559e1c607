import { defineConfig } from 'vitest/config';
import { ordinaryUser } from './test/support/ordinary-user.ts';
import { startRun } from './test/support/run.ts';

startRun();

const UNPRIVILEGED = ['test/**/unprivileged.test.ts'];

export default defineConfig({
  test: {
    // Most tests wait for a child process or a server most of the time.
    maxWorkers: 3,
    // No verdict by the clock, on a busy machine either: this is for what hangs.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    coverage: { include: ['src/**'] },
    reporters: ['default', './test/support/skips.ts'],
    projects: [
      {
        extends: true,
        test: { name: 'all', include: ['test/**/*.test.ts'], exclude: UNPRIVILEGED },
      },
      {
        extends: true,
        test: { name: 'ordinary user', include: UNPRIVILEGED, pool: ordinaryUser },
      },
    ],
  },
});
