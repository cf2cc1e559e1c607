import { renameSync, writeFileSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';

/**
 * Loaded into the daemon before its first line (`preload.ts`). On SIGUSR2 it collects garbage and
 * writes to `PROBE_FILE` what is left in memory, and what keeps the event loop busy. Needs
 * `--expose-gc`.
 */
export interface Probe {
  readonly heapUsed: number;
  /** What of it is machine code, which grows for as long as V8 finds something worth compiling. */
  readonly machineCode: number;
  /** What is active, by kind: `Timeout`, `TCPServerWrap`, `FSEventWrap` ... */
  readonly resources: Readonly<Record<string, number>>;
}

function look(): Probe {
  globalThis.gc?.();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo().sort()) {
    resources[kind] = (resources[kind] ?? 0) + 1;
  }
  return {
    heapUsed: process.memoryUsage().heapUsed,
    machineCode: getHeapSpaceStatistics()
      .filter(({ space_name: name }) => name.startsWith('code'))
      .reduce((sum, { space_used_size: size }) => sum + size, 0),
    resources,
  };
}

const file = process.env['PROBE_FILE'] ?? '';
process.on('SIGUSR2', () => {
  writeFileSync(`${file}.new`, JSON.stringify(look()));
  renameSync(`${file}.new`, file);
});
