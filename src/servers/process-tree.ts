/**
 * Processes and their kin, as Linux shows them in /proc. What has ended and only waits to be reaped
 * by its parent (in a container perhaps for ever) is not counted.
 */
import { readdir, readFile } from 'node:fs/promises';

/** A child process and the command line that it shows. */
export interface ChildOf {
  readonly pid: number;
  readonly commandLine: string;
}

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
}

/** The direct children of a process. */
export async function childrenOf(parent: number): Promise<readonly ChildOf[]> {
  const children = (await allProcesses()).filter((entry) => entry.parent === parent);
  return Promise.all(
    children.map(async ({ pid }) => {
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return { pid, commandLine: commandLine.replaceAll('\0', ' ').trim() };
    }),
  );
}

/** Whether any process of a process group is alive. */
export async function groupIsAlive(group: number): Promise<boolean> {
  return (await allProcesses()).some((entry) => entry.group === group);
}

async function allProcesses(): Promise<readonly ProcessEntry[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const entries = await Promise.all(pids.map((pid) => processEntry(pid)));
  return entries.filter((entry) => entry !== undefined);
}

/** Undefined for a process that has ended. */
async function processEntry(pid: number): Promise<ProcessEntry | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // the name in brackets may hold blanks and brackets; what follows comes after the last one
    const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || state === 'X') return undefined;
    return { pid, parent: Number(parent), group: Number(group) };
  } catch {
    return undefined;
  }
}
