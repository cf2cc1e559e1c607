import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Loaded into the daemon: writes the longest stretch that its main thread computed between two turns
 * of the event loop, in milliseconds, to the file that `HOSTILE_BLOCKS` names. What it waits for a CPU
 * on a busy machine is none of it; a system call that hangs shows itself.
 */
const INTERVAL_MS = 10;
const NS_PER_MS = 1e6;
const FIGURES = '/proc/thread-self/schedstat';
const hasFigures = existsSync(FIGURES);

const place = process.env['HOSTILE_BLOCKS'];
if (place !== undefined) {
  let longest = 0;
  let last: number | undefined;
  writeFileSync(place, '0');
  setInterval(() => {
    const now = computedMs();
    // What comes before the first turn is the start of the program: nobody waits for it yet.
    const ms = now - (last ?? now);
    last = now;
    if (ms <= longest) return;
    longest = ms;
    writeFileSync(place, String(ms));
  }, INTERVAL_MS).unref();
}

/** Where the kernel doesn't say it of a thread, of the whole process. */
function computedMs(): number {
  if (hasFigures) return Number(readFileSync(FIGURES, 'utf8').split(' ')[0]) / NS_PER_MS;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
