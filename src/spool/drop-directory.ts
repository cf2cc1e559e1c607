import { errnoOf } from '../errors.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { complainOf } from './complaint.ts';
import { DiskFaults } from './disk-faults.ts';
import { Folder, isFolder } from './folder.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { crossesDevices } from './state-dir.ts';

/**
 * The drop directory: kopano-spamd's folders `spam/` and `ham/`. They are never made here. A folder
 * that is missing is asked for again, one that was replaced is opened anew.
 */
export interface ClassFolder {
  readonly verdict: Verdict;
  readonly folder: Folder;
  /** A rename into the queue is refused with EXDEV: it was when the folder was opened, or later. */
  elsewhere: boolean;
}

export interface DropDirectoryOptions {
  readonly libDir: string;
  readonly queue: Readonly<Record<Verdict, Folder>>;
  readonly faults: DiskFaults;
  readonly log: Log;
  readonly throttle: LogThrottle;
}

/** What anything else means (a dead FUSE mount, a stale one of NFS) may pass by itself. */
const BARRED = new Set(['EACCES', 'EPERM', 'ELOOP', 'ENOTDIR']);

export class DropDirectory {
  readonly #options: DropDirectoryOptions;
  readonly #open = new Map<Verdict, ClassFolder>();
  readonly #missing = new Set<Verdict>();
  /** Folders that the daemon has no permission for, or that are no folders. */
  readonly #barred = new Set<Verdict>();

  constructor(options: DropDirectoryOptions) {
    this.#options = options;
  }

  path(verdict: Verdict): string {
    return `${this.#options.libDir}/${verdict}`;
  }

  get(verdict: Verdict): ClassFolder | undefined {
    return this.#open.get(verdict);
  }

  /** True when both folders are there. */
  get isComplete(): boolean {
    return this.#open.size === VERDICTS.length;
  }

  /**
   * True when a folder may hold files that only the next refresh can show: it was made, removed or
   * replaced, or its disk failed when it was to be opened. One that stays barred is not waited for.
   */
  isUncertain(verdict: Verdict): boolean {
    const open = this.#open.get(verdict);
    if (open !== undefined) return !open.folder.isCurrent();
    if (this.#missing.has(verdict)) return isFolder(this.path(verdict));
    return !this.#barred.has(verdict);
  }

  /** Compares the folders with their paths. Returns those that were opened by this call. */
  refresh(): ClassFolder[] {
    const opened: ClassFolder[] = [];
    for (const verdict of VERDICTS) {
      const now = this.#open.get(verdict);
      if (now?.folder.isCurrent() === true) continue;
      this.drop(verdict);
      const next = this.#openFolder(verdict);
      if (next === undefined) continue;
      this.#open.set(verdict, next);
      opened.push(next);
    }
    return opened;
  }

  /** Lets go of a folder; the next refresh opens it again. */
  drop(verdict: Verdict): void {
    this.#open.get(verdict)?.folder.close();
    this.#open.delete(verdict);
  }

  close(): void {
    for (const verdict of VERDICTS) this.drop(verdict);
  }

  #openFolder(verdict: Verdict): ClassFolder | undefined {
    const { faults, log, throttle, queue } = this.#options;
    const place = this.path(verdict);
    let folder: Folder | undefined;
    try {
      folder = Folder.open(place);
      const elsewhere = crossesDevices(folder, queue[verdict]);
      this.#missing.delete(verdict);
      this.#barred.delete(verdict);
      throttle.forget(`missing ${verdict}`);
      faults.clear(place);
      return { verdict, folder, elsewhere };
    } catch (error) {
      folder?.close();
      const code = errnoOf(error);
      if (code === undefined) throw error;
      this.#missing.delete(verdict);
      this.#barred.delete(verdict);
      if (DiskFaults.isWide(error)) {
        faults.raise(place, error);
        return undefined;
      }
      if (code === 'ENOENT') this.#missing.add(verdict);
      if (BARRED.has(code)) this.#barred.add(verdict);
      if (throttle.allows(`missing ${verdict}`, code)) {
        const { message, cure } = complainOf(this.#options.libDir, verdict, code);
        log('warning', 'spool.missing', message, { path: place, code, cure });
      }
      return undefined;
    }
  }
}
