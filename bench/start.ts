/**
 * What a start costs: from the start of the daemon, the bundle as images and services run it, until it owns
 * its spool; beside it, by turns, an older build. Prints the figures beside their target; a missed one is
 * no failure, because the machine has a say in it.
 *
 *   npm run bench:start -- [--rounds N] [--old FOLDER]
 *
 * `--old` names another checkout in which `npm run bundle` was run. The Node.js is that of the PATH.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ServerProcess } from '../src/servers/server-process.ts';
import { AS_ONESELF, BUNDLE, bundleIn, inScratch, layOut } from './scratch.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, printRows, row } from './table.ts';

/** In the old build's time. */
const MOST = 0.7;
const OWNS = '"event":"daemon.owner"';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, old: { type: 'string' } },
});
const old = bundleIn(values.old);
const times: { readonly own: number; readonly old: number }[] = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  times.push({ old: old === undefined ? NaN : await startOf(old), own: await startOf(BUNDLE) });
}
const own = spreadOf(times.map((each) => each.own)).median;
const before = spreadOf(times.map((each) => each.old)).median;
const ratio = spreadOf(times.map((each) => each.own / each.old)).median;
printRows(`${times.length} rounds, medians; ${MACHINE}`, [
  row('start to the ownership of the spool', own, 'ms'),
  ...(old === undefined
    ? []
    : [
        row('  of the old build', before, 'ms'),
        row("  of the old build's, pair by pair", ratio, 'x', { atMost: MOST }),
      ]),
]);

/** Milliseconds from the start of this bundle until it owns an empty spool. */
function startOf(bundle: string): Promise<number> {
  return inScratch(async (lib) => {
    layOut(lib);
    const from = performance.now();
    let owned: (at: number) => void = () => undefined;
    const ownedAt = new Promise<number>((tell) => (owned = tell));
    const daemon = await ServerProcess.start({
      program: bundle,
      args: [...AS_ONESELF, 'watch'],
      cwd: lib,
      outputFile: join(lib, 'stderr'),
      onLine: (line) => {
        if (line.includes(OWNS)) owned(performance.now());
      },
      environment: {
        PATH: process.env['PATH'] ?? '',
        KOPANO_SPAMD_LIB: lib,
        RSPAMD_URL: 'http://127.0.0.1:9',
        STATUS_LISTEN: 'off',
      },
    });
    try {
      const at = await Promise.race([ownedAt, daemon.ended.then(() => NaN)]);
      if (Number.isNaN(at)) throw new Error(daemon.tailOfOutput());
      return at - from;
    } finally {
      await daemon.kill();
    }
  });
}
