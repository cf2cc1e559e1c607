import { readFile, readdir, readlink, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../support/until.ts';
import type { Probe } from './probe.ts';

/**
 * What a process holds: its heap and its active resources (by the probe in it), its descriptors and
 * inotify watches (by the kernel). Only reads.
 */
export interface Reading extends Probe {
  /** Open descriptors by what they lead to. */
  readonly descriptors: Readonly<Record<string, number>>;
  readonly watches: number;
  /** Peak of the resident memory so far, in MB. */
  readonly peakMb: number;
}

const BETWEEN_MS = 300;
/** Some ten seconds: folders are opened again within two, connections given up within five. */
const MOST_TRIES = 30;
const MB = 2 ** 20;

export class Gauge {
  readonly #pid: number;
  readonly #probeFile: string;

  constructor(pid: number, probeFile: string) {
    this.#pid = pid;
    this.#probeFile = probeFile;
  }

  /**
   * Reads until the process holds the same as before, or, when there is no before, as a moment ago;
   * gives up after a while with what it holds then. What only passes by (a chore, a folder that is
   * about to be opened again) is not what piles up.
   */
  async steady(before?: Reading): Promise<Reading> {
    let last = before;
    for (let tries = 0; ; tries += 1) {
      const reading = await this.read();
      if (last !== undefined && heldText(reading) === heldText(last)) return reading;
      if (tries >= MOST_TRIES) return reading;
      last = before ?? reading;
      await sleep(BETWEEN_MS);
    }
  }

  async read(): Promise<Reading> {
    const probe = await this.#probe();
    const [descriptors, watches, status] = await Promise.all([
      this.#descriptors(),
      this.watches(),
      readFile(`/proc/${this.#pid}/status`, 'utf8'),
    ]);
    const peakMb = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
    return { ...probe, descriptors, watches, peakMb };
  }

  /** How many inotify watches it has. */
  async watches(): Promise<number> {
    const folder = `/proc/${this.#pid}/fdinfo`;
    const infos = (await readdir(folder)).map((fd) =>
      readFile(`${folder}/${fd}`, 'utf8').catch(() => ''),
    );
    return (await Promise.all(infos)).flatMap((info) => info.match(/^inotify wd:/gm) ?? []).length;
  }

  /** Whether it has a folder, or anything in it, open. */
  async holds(folder: string): Promise<boolean> {
    return Object.keys(await this.#descriptors()).some((target) => target.startsWith(folder));
  }

  async #probe(): Promise<Probe> {
    await rm(this.#probeFile, { force: true });
    process.kill(this.#pid, 'SIGUSR2');
    let text = '';
    await until('the daemon has told what it holds', async () => {
      text = await readFile(this.#probeFile, 'utf8').catch(() => '');
      return text !== '';
    });
    return JSON.parse(text) as Probe;
  }

  async #descriptors(): Promise<Record<string, number>> {
    const folder = `/proc/${this.#pid}/fd`;
    const counts: Record<string, number> = {};
    for (const fd of await readdir(folder)) {
      const target = await readlink(`${folder}/${fd}`).catch(() => undefined);
      if (target === undefined) continue;
      // `socket:[4711]`, `anon_inode:[eventpoll]`, a path
      const kind = target.replace(/^(socket|pipe):.*/, '$1');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return Object.fromEntries(Object.entries(counts).sort());
  }
}

/** What has to be the same at every rest. */
export function held({ resources, descriptors, watches }: Reading): object {
  return { resources, descriptors, watches };
}

/** A reading in one line. */
export function told(reading: Reading): string {
  const { heapUsed, machineCode, peakMb, resources, descriptors, watches } = reading;
  const sum = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  return (
    `heap ${inMb(heapUsed)} MB (${inMb(machineCode)} MB of it machine code), ` +
    `peak RSS ${peakMb.toFixed(0)} MB, ${sum(descriptors)} descriptors, ` +
    `${resources['Timeout'] ?? 0} timers among ${sum(resources)} active resources, ` +
    `${watches} watches`
  );
}

function inMb(bytes: number): string {
  return (bytes / MB).toFixed(2);
}

function heldText(reading: Reading): string {
  return JSON.stringify(held(reading));
}
