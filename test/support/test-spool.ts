import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { onTestFinished } from 'vitest';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import type { QueueEntry } from '../../src/spool/message.ts';
import { Quarantine } from '../../src/spool/quarantine.ts';
import { Queue } from '../../src/spool/queue.ts';
import { openStateDir } from '../../src/spool/state-dir.ts';
import type { StateDir } from '../../src/spool/state-dir.ts';
import { temporaryFolder } from './temporary.ts';

/** kopano-spamd's finishing mark. */
export const MARK = 0o660;

interface TestSpoolOptions {
  /** Holds `spam/` and `ham/`. @defaultValue a new folder */
  readonly lib?: string;
  /** @defaultValue `.learnd` in `lib` */
  readonly stateDir?: string;
  /** @defaultValue 1 MiB */
  readonly maxBytes?: number | undefined;
  /** All classes. @defaultValue spam and ham */
  readonly verdicts?: readonly Verdict[];
}

/** A spool on a real file system: the drop directory as kopano-spamd makes it, and a state dir. */
export class TestSpool {
  readonly lib: string;
  readonly stateDir: StateDir;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly maxBytes: number;

  constructor(options: TestSpoolOptions = {}) {
    this.lib = options.lib ?? temporaryFolder();
    this.maxBytes = options.maxBytes ?? 1_048_576;
    const { verdicts = VERDICTS } = options;
    for (const each of verdicts) mkdirSync(`${this.lib}/${each}`, { recursive: true });
    this.stateDir = openStateDir({
      path: options.stateDir ?? `${this.lib}/.learnd`,
      libDir: this.lib,
      verdicts,
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
    });
    onTestFinished(() => this.stateDir.close());
    this.queue = new Queue(this.stateDir.queue, { maxBytes: this.maxBytes });
    this.quarantine = new Quarantine(this.stateDir.quarantine, this.stateDir.temporary);
  }

  /** Where a file of the drop directory lies. */
  dropPath(verdict: Verdict, name = ''): string {
    return `${this.lib}/${verdict}/${name}`;
  }

  /** Where a place of the state dir lies. */
  statePath(place: string): string {
    return `${this.stateDir.root.path}/${place}`;
  }

  /** Drops a complete message, marked unless `mode` says otherwise. */
  drop(verdict: Verdict, name: string, body: string | Buffer = name, mode = MARK): string {
    return put(this.dropPath(verdict, name), body, mode);
  }

  /** Puts a message into the queue, as a daemon before this one left it. */
  enqueue(verdict: Verdict, key: string, body: string | Buffer = key, mode = MARK): string {
    return put(this.statePath(`queue/${verdict}/${key}`), body, mode);
  }

  /** What the queue has of a key now. */
  entry(verdict: Verdict, key: string): QueueEntry {
    const entry = this.queue.find(verdict, key);
    if (entry === undefined) throw new Error(`${verdict}/${key} is gone`);
    return entry;
  }

  /** The names in a folder of the state dir, such as `queue/spam`, sorted. */
  names(place: string): string[] {
    return readdirSync(this.statePath(place)).sort();
  }

  /** The names in a folder of the drop directory, sorted. */
  dropped(verdict: Verdict): string[] {
    return readdirSync(this.dropPath(verdict)).sort();
  }

  /** Everything in the queue, as `VERDICT/KEY`, sorted. */
  get queued(): string[] {
    return this.names('queue').flatMap((verdict) =>
      this.names(`queue/${verdict}`).map((key) => `${verdict}/${key}`),
    );
  }

  /** What a queue entry says. */
  read(place: string): string {
    return readFileSync(this.statePath(place), 'latin1');
  }
}

/** Writes a file with this very mode, whatever the umask. */
export function put(path: string, body: string | Buffer, mode = MARK): string {
  writeFileSync(path, body, typeof body === 'string' ? 'latin1' : undefined);
  chmodSync(path, mode);
  return path;
}

/** Sets a file's mtime, in seconds since the epoch. */
export function setMtime(path: string, seconds: number): void {
  utimesSync(path, seconds, seconds);
}

/** Sets a file's mtime to the nanosecond, which Node.js can't. */
export function setMtimeNs(path: string, nanoseconds: bigint): void {
  const [seconds, rest] = [nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n];
  execFileSync('touch', ['-md', `@${seconds}.${String(rest).padStart(9, '0')}`, path]);
  if (statSync(path, { bigint: true }).mtimeNs !== nanoseconds) throw new Error('it was rounded');
}

/** Puts another file in the place of one: the same path, a new inode. */
export function replace(path: string, body: string, mode = MARK): string {
  renameSync(put(`${path}.new`, body, mode), path);
  return path;
}

/** Gives a file a new ctime and changes nothing else; the kernel's clock may tick slowly. */
export function touchCtime(path: string): void {
  const before = statSync(path, { bigint: true });
  do chmodSync(path, Number(before.mode & 0o7777n));
  while (statSync(path, { bigint: true }).ctimeNs === before.ctimeNs);
}

export function inodeOf(path: string): number {
  return statSync(path).ino;
}
