/**
 * What the kernel says of a process in /proc: memory, CPU time, inotify watches.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** Decimal megabytes of resident memory: the most there was so far, and what there is now. */
export interface Memory {
  readonly peakMb: number;
  readonly nowMb: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string): number => {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    if (kibibytes === undefined) throw new Error(`no ${field} in /proc/${pid}/status`);
    return (Number(kibibytes) * 1024) / 1e6;
  };
  return { peakMb: megabytes('VmHWM'), nowMb: megabytes('VmRSS') };
}

/** CPU time of all threads that live, in milliseconds; finer than the ticks of /proc/PID/stat. */
export function cpuMsOf(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [onCpu] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    nanoseconds += Number(onCpu);
  }
  return nanoseconds / 1e6;
}

/** Inotify watches over all inotify descriptors of the process. */
export function watchesOf(pid: number): number {
  let watches = 0;
  for (const descriptor of readdirSync(`/proc/${pid}/fdinfo`)) {
    watches += (readInfo(pid, descriptor).match(/^inotify wd:/gm) ?? []).length;
  }
  return watches;
}

function readInfo(pid: number, descriptor: string): string {
  try {
    return readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8');
  } catch {
    return ''; // closed meanwhile
  }
}
