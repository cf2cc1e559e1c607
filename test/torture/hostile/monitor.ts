import fs, { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Loaded into the daemon: measures how long its event loop is blocked, and writes the longest block
 * to the file that `HOSTILE_BLOCKS` names.
 *
 * A block is the lateness of a timer, less the time during which the thread could have run but other
 * processes had the CPU: the kernel counts that (the second figure of `schedstat`). Less, too, the
 * time that the reader of its log let it wait, which is the test itself. What is left is time that
 * the thread computed, or waited in a system call; of a moment in which the whole machine was starved
 * only what it computed. The start of the program, before its first line
 * of log, isn't counted: nobody waits for it yet.
 */
export interface Block {
  /** Milliseconds of the block, without those that it waited for a CPU. */
  readonly ms: number;
  /** Those of them that it spent computing; the rest it waited in system calls. */
  readonly cpuMs: number;
  /** Milliseconds that it waited for a CPU beside those. */
  readonly waitedMs: number;
}

const INTERVAL_MS = 10;
const NS_PER_MS = 1e6;
/** A thread that waits so long for a CPU shares it with others that sleep while they hold locks. */
const STARVED_MS = 100;
const FIGURES = '/proc/thread-self/schedstat';
const hasFigures = existsSync(FIGURES);

interface Moment {
  readonly at: number;
  /** Time that the main thread ran, and that it waited for a CPU. */
  readonly ranMs: number;
  readonly waitedMs: number;
  /** Time that it spent writing its log. */
  readonly loggedMs: number;
}

const file = process.env['HOSTILE_BLOCKS'];
let loggedMs = 0;
if (file !== undefined) watchLoop(file);

function watchLoop(place: string): void {
  let longest: Block = { ms: 0, cpuMs: 0, waitedMs: 0 };
  onFirstLine(() => {
    writeFileSync(place, JSON.stringify(longest));
    let last = now();
    setInterval(() => {
      const before = last;
      last = now();
      const waitedMs = last.waitedMs - before.waitedMs;
      const cpuMs = last.ranMs - before.ranMs;
      const late = last.at - before.at - INTERVAL_MS - waitedMs - (last.loggedMs - before.loggedMs);
      const ms = waitedMs > STARVED_MS ? Math.min(late, cpuMs) : late;
      if (ms <= longest.ms) return;
      longest = { ms, cpuMs, waitedMs };
      writeFileSync(place, JSON.stringify(longest));
    }, INTERVAL_MS).unref();
  });
}

function now(): Moment {
  // A kernel without it makes every wait for the CPU a block.
  const text = hasFigures ? readFileSync(FIGURES, 'utf8') : '';
  const [ran, waited] = text.split(' ').map(Number);
  return {
    at: performance.now(),
    ranMs: (ran ?? 0) / NS_PER_MS,
    waitedMs: (waited ?? 0) / NS_PER_MS,
    loggedMs,
  };
}

/** The log writes to standard output itself, by `fs.writeSync`. */
function onFirstLine(act: () => void): void {
  const calls = fs as unknown as Record<'writeSync', (...args: unknown[]) => unknown>;
  const original = calls.writeSync;
  let isFirst = true;
  calls.writeSync = (...args) => {
    if (args[0] !== 1) return original(...args);
    if (isFirst) act();
    isFirst = false;
    const start = performance.now();
    try {
      return original(...args);
    } finally {
      loggedMs += performance.now() - start;
    }
  };
}
