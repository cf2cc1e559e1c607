/**
 * A daemon with nothing to do, beside a Node.js with nothing to do.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { timeOf, until, withChildren } from './children.ts';
import type { Children } from './children.ts';
import { cpuMsOf, memoryOf } from './process-figures.ts';
import { layOut } from './scratch.ts';
import { spreadOf } from './spread.ts';

const STARTS = 5;
/** V8 tidies its heap up once, some ten seconds after the start: that is not idling. */
const CALM_MS = 20_000;

/** The daemon's figures, and those of a Node.js that runs nothing. */
export interface EmptySpoolFigures {
  /** Median, from the start until it owns the spool. */
  readonly readyMs: number;
  /** Of one core, in percent. */
  readonly cpuPercent: number;
  readonly mb: number;
  /** Median of `node -e 0`. */
  readonly nodeMs: number;
  readonly nodeMb: number;
}

/** Starts it several times, then lets it idle for `idleMs`. */
export function measureEmptySpool(idleMs: number): Promise<EmptySpoolFigures> {
  return withChildren(async (children, folder) => {
    const lib = layOut(join(folder, 'lib'));
    const [port] = await children.helper('stub-controller');
    console.log(`an empty spool: ${STARTS} starts, then idling ...`);
    const readyMs: number[] = [];
    const nodeMs: number[] = [];
    for (let round = 0; round < STARTS; round += 1) {
      readyMs.push(await timeToReady(children, lib, port));
      nodeMs.push(timeOf(['-e', '0']));
    }
    const { process: daemon } = await children.daemon({ lib, port });
    const idleNode = 'console.log(); setInterval(() => undefined, 2 ** 30)';
    const node = await children.node(['-e', idleNode]);
    await sleep(CALM_MS);
    const [cpuBefore, from] = [cpuMsOf(daemon.pid), performance.now()];
    await sleep(idleMs);
    return {
      readyMs: spreadOf(readyMs).median,
      cpuPercent: ((cpuMsOf(daemon.pid) - cpuBefore) * 100) / (performance.now() - from),
      mb: memoryOf(daemon.pid).nowMb,
      nodeMs: spreadOf(nodeMs).median,
      nodeMb: memoryOf(node.pid).nowMb,
    };
  });
}

async function timeToReady(children: Children, lib: string, port: string): Promise<number> {
  const daemon = await children.daemon({ lib, port });
  await until('the daemon', daemon.process, () => daemon.firstAt.has('daemon.owner'));
  await children.stop(daemon.process);
  return (daemon.firstAt.get('daemon.owner') ?? NaN) - daemon.startedAt;
}
