import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import type { BigIntStats, Dir } from 'node:fs';
import { systemError } from '../../support/fs-steps.ts';
import type { FsStep } from '../../support/fs-steps.ts';
import { Killed } from '../killed.ts';
import type { Owner, Timeline } from './time.ts';

/**
 * The machine that the model's daemons run on: a real file system, in whose calls it
 *
 * - ends a process before or after any step, with all that the kernel does then: its descriptors are
 *   closed, its locks are free, and nothing that it was about to do happens;
 * - lets a slow disk take time of the model's;
 * - refuses renames between the spool and the state dir like two mounts do (EXDEV);
 * - shows each step to whoever holds the laws against it.
 */

/** The calls as they are. */
export const real = { ...fs };

/** One process. */
export class Process implements Owner {
  readonly id: number;
  isDead = false;
  stoppedUntil = 0;
  /** The step on the file system at which it dies. */
  diesAt = Infinity;
  steps = 0;
  /** What it has open, and which path that was opened by. */
  readonly descriptors = new Map<number, string>();
  readonly lists = new Set<Dir>();
  readonly bells = new Set<Bell>();

  constructor(id: number) {
    this.id = id;
  }
}

/** A folder that a process watches. */
interface Bell extends EventEmitter {
  readonly path: string;
  readonly ino: number | undefined;
  close(): Promise<void>;
}

/** Who watches the steps of processes. Each is told before the step, and does or lets do it. */
export interface StepWatcher {
  looked(place: Place, ino: number): void;
  renamed(process: Process, from: Place, to: Place, rename: () => void): void;
  removed(process: Process, place: Place, remove: () => void): void;
  /** It has the lock of the state dir. */
  owned(process: Process): void;
  /** A folder is removed with all that is in it. */
  cleared(process: Process, place: Place): void;
}

interface MachineOptions {
  readonly timeline: Timeline<Process>;
  /** The folder that holds `lib` and `state`. */
  readonly root: string;
  /** `lib` and `state` are different mounts. */
  readonly isDivided: boolean;
  /** How long a call on the disk takes. */
  readonly latency: () => number;
  readonly watcher: StepWatcher;
}

/** Where something lies: `lib/spam/KEY`, `state/queue/ham/KEY`; and how it can be reached. */
export interface Place {
  readonly path: string;
  readonly address: string;
}

const TAKES_ROOM = /^(mkdirSync|renameSync|open|writeFileSync|FileHandle\.(writeFile|sync))$/;
const SHOWS = /stat|read/i;

/** A disk that fails for a while, in one place. */
interface Fault {
  readonly code: string;
  /** How the paths of what fails begin. */
  readonly where: string;
  /** Of so many steps one fails. */
  readonly every: number;
  /** It takes effect, and the answer gets lost. */
  readonly isAfter: boolean;
  readonly until: number;
  met: number;
}

interface Lock {
  readonly process: Process;
  readonly fd: number;
}

export class Machine {
  readonly #options: MachineOptions;
  /** Who has locked which inode by which descriptor. */
  readonly #locks = new Map<number, Lock>();

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  get running(): Process | undefined {
    return this.#options.timeline.running;
  }

  /** Whether a process holds the lock of the state dir. */
  owns(process: Process): boolean {
    return [...this.#locks.values()].some(
      (lock) => lock.process === process && this.#isStateLock(process, lock.fd),
    );
  }

  #isStateLock(process: Process, fd: number): boolean {
    return process.descriptors.get(fd) === `${this.#options.root}/state/owner.lock`;
  }

  /** What the disk does to the steps that it names. */
  fault: Fault | undefined;

  /** A step on a disk that may fail: what is full refuses only what needs room. */
  meet(process: Process, step: FsStep): void {
    const { fault } = this;
    if (fault === undefined || this.#options.timeline.now >= fault.until) return;
    const path = this.#pathOf(process, step.path).slice(this.#options.root.length + 1);
    if (!path.startsWith(fault.where) || /close/i.test(step.call)) return;
    const isAfter = step.when === 'after';
    const isFull = fault.code === 'ENOSPC';
    if (isAfter !== (fault.isAfter && !isFull)) return;
    if (isFull && !TAKES_ROOM.test(step.call)) return;
    // What was shown, and then not told, the laws would take for seen.
    if (isAfter && SHOWS.test(step.call)) return;
    fault.met += 1;
    if (fault.met % fault.every === 0) throw systemError(fault.code, step);
  }

  /** One step of a process: it may be its last. */
  step(process: Process): void {
    process.steps += 1;
    if (process.steps >= process.diesAt) process.isDead = true;
    if (process.isDead) throw new Killed();
  }

  /** Does something that no process does, in the middle of what one does. */
  aside(act: () => void): void {
    const { timeline } = this.#options;
    const { running } = timeline;
    timeline.running = undefined;
    try {
      act();
    } finally {
      timeline.running = running;
    }
  }

  /** What the kernel does for a dead process, when its last step is over. */
  bury(process: Process): void {
    process.isDead = true;
    for (const list of process.lists) list.closeSync();
    process.lists.clear();
    for (const fd of [...process.descriptors.keys()]) this.closed(process, fd, real.closeSync);
  }

  // --- what processes call

  opened(process: Process, fd: number, address: string): void {
    process.descriptors.set(fd, this.#pathOf(process, address));
  }

  closed(process: Process, fd: number, close: (fd: number) => void): void {
    for (const [ino, lock] of this.#locks) {
      if (lock.process === process && lock.fd === fd) this.#locks.delete(ino);
    }
    process.descriptors.delete(fd);
    close(fd);
  }

  looked(process: Process, address: string, stats: BigIntStats | undefined): void {
    if (stats === undefined) return;
    this.aside(() =>
      this.#options.watcher.looked(this.#placeOf(process, address), Number(stats.ino)),
    );
  }

  renamed(process: Process, fromAddress: string, toAddress: string, rename: () => void): void {
    const from = this.#placeOf(process, fromAddress);
    const to = this.#placeOf(process, toAddress);
    const crosses = from.path.slice(0, 3) !== to.path.slice(0, 3);
    if (crosses && this.#options.isDivided) {
      throw systemError('EXDEV', { call: 'renameSync', path: fromAddress, when: 'before' });
    }
    this.aside(() => this.#options.watcher.renamed(process, from, to, rename));
  }

  removed(process: Process, address: string, remove: () => void): void {
    this.aside(() =>
      this.#options.watcher.removed(process, this.#placeOf(process, address), remove),
    );
  }

  cleared(process: Process, address: string): void {
    this.aside(() => this.#options.watcher.cleared(process, this.#placeOf(process, address)));
  }

  /** A call that waits for the disk. */
  later<T>(process: Process, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { timeline, latency } = this.#options;
      timeline.after(
        latency(),
        () => {
          try {
            resolve(act());
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        },
        process,
      );
    });
  }

  /** `flock -n 3`, where 3 is the process's `fd`. */
  flock(process: Process, fd: number): EventEmitter {
    const child = Object.assign(new EventEmitter(), { stderr: new EventEmitter() });
    this.#options.timeline.after(
      3,
      () => {
        const { ino } = real.fstatSync(fd);
        const holder = this.#locks.get(ino) ?? { process, fd };
        const isOurs = holder.process === process && holder.fd === fd;
        if (isOurs) this.#locks.set(ino, holder);
        if (isOurs && this.#isStateLock(process, fd)) {
          this.aside(() => this.#options.watcher.owned(process));
        }
        child.emit('close', isOurs ? 0 : 1);
      },
      process,
    );
    return child;
  }

  /** chokidar's `watch`: a hint for each event in the folder that was there then. */
  watch(path: string): Bell {
    const process = this.running;
    const bell: Bell = Object.assign(new EventEmitter(), {
      path,
      ino: inodeOf(path),
      close: () => {
        process?.bells.delete(bell);
        return Promise.resolve();
      },
    });
    process?.bells.add(bell);
    this.#options.timeline.after(
      30,
      () => {
        if (process?.bells.has(bell) === true) bell.emit('ready');
      },
      process,
    );
    return bell;
  }

  ring(process: Process, path: string, name: string): void {
    for (const bell of process.bells) {
      if (bell.path === path && bell.ino === inodeOf(path)) bell.emit('raw', 'change', name);
    }
  }

  #placeOf(process: Process, address: string): Place {
    const path = this.#pathOf(process, address);
    return { address, path: path.slice(this.#options.root.length + 1) };
  }

  #pathOf(process: Process, address: string): string {
    const [, fd, rest] = /^\/proc\/self\/fd\/(\d+)\/(.*)$/s.exec(address) ?? [];
    if (fd === undefined || rest === undefined) return address;
    return `${process.descriptors.get(Number(fd)) ?? '?'}/${rest}`;
  }
}

function inodeOf(path: string): number | undefined {
  return real.statSync(path, { throwIfNoEntry: false })?.ino;
}
