import fs, { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Loaded into the daemon: writes the longest stretch that its main thread computed between two turns
 * of the event loop, in milliseconds, to the file that `HOSTILE_BLOCKS` names. What it waits for a CPU
 * on a busy machine is none of it; a system call that hangs shows itself. The start of the program,
 * before its first line of log, isn't counted: nobody waits for it yet.
 */
const INTERVAL_MS = 10;
const NS_PER_MS = 1e6;
const FIGURES = '/proc/thread-self/schedstat';
const hasFigures = existsSync(FIGURES);

const place = process.env['HOSTILE_BLOCKS'];
if (place !== undefined) {
  // The log writes to standard output itself, by `fs.writeSync`.
  const calls = fs as unknown as Record<'writeSync', (...args: unknown[]) => unknown>;
  const original = calls.writeSync;
  calls.writeSync = (...args) => {
    if (args[0] === 1) {
      calls.writeSync = original;
      watchLoop(place);
    }
    return original(...args);
  };
}

function watchLoop(file: string): void {
  let longest = 0;
  let last = computedMs();
  writeFileSync(file, '0');
  setInterval(() => {
    const now = computedMs();
    const ms = now - last;
    last = now;
    if (ms <= longest) return;
    longest = ms;
    writeFileSync(file, String(ms));
  }, INTERVAL_MS).unref();
}

/** Where the kernel doesn't say it of a thread, of the whole process. */
function computedMs(): number {
  if (hasFigures) return Number(readFileSync(FIGURES, 'utf8').split(' ')[0]) / NS_PER_MS;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
