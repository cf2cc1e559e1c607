import { statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { errnoOf } from '../errors.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { Folder } from './folder.ts';
import { VERDICTS, otherVerdict } from './message.ts';
import type { Verdict } from './message.ts';
import { crossesDevices } from './state-dir.ts';

/**
 * The drop directory: kopano-spamd's folders `spam/` and `ham/`. They are never made here. A folder
 * that is missing is asked for again, one that was replaced is opened anew.
 */
export interface ClassFolder {
  readonly verdict: Verdict;
  readonly folder: Folder;
  /** A rename into the queue would be refused with EXDEV. */
  readonly elsewhere: boolean;
}

export interface DropDirectoryOptions {
  readonly libDir: string;
  readonly queue: Readonly<Record<Verdict, Folder>>;
  readonly log: Log;
  readonly throttle: LogThrottle;
}

export class DropDirectory {
  readonly #options: DropDirectoryOptions;
  readonly #open = new Map<Verdict, ClassFolder>();

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
    const { log, throttle, queue } = this.#options;
    const place = this.path(verdict);
    try {
      const folder = Folder.open(place);
      throttle.forget(`missing ${verdict}`);
      return { verdict, folder, elsewhere: crossesDevices(folder, queue[verdict]) };
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      if (throttle.allows(`missing ${verdict}`, code)) {
        const [message, cure] = this.#complaint(verdict, code);
        log('warning', 'spool.missing', message, { path: place, code, cure });
      }
      return undefined;
    }
  }

  #complaint(verdict: Verdict, code: string): [message: string, cure: string] {
    const place = this.path(verdict);
    switch (code) {
      case 'ENOENT': {
        const cure = this.#installLine(verdict);
        return [`${place} is missing; it is waited for. Make it: ${cure}`, cure];
      }
      case 'EACCES': {
        const stats = tryStat(place) ?? tryStat(this.#options.libDir);
        const owner =
          stats === undefined
            ? 'it'
            : `uid ${stats.uid}, gid ${stats.gid}, mode ${(stats.mode & 0o7777).toString(8)}:`;
        const cure = `${owner} give the daemon's user that group, or: chmod g+rwx ${place}`;
        return [`${place} cannot be opened (permission denied); ${cure}`, cure];
      }
      case 'ELOOP':
      case 'ENOTDIR': {
        const cure = `replace it by a folder: ${this.#installLine(verdict)}`;
        return [`${place} is not a folder (a symlink is not followed); ${cure}`, cure];
      }
      default: {
        const cure = 'look at the file system; it is tried again';
        return [`${place} cannot be opened (${code}); ${cure}`, cure];
      }
    }
  }

  /** The line that makes a missing folder right: like its sibling, else like the spool. */
  #installLine(verdict: Verdict): string {
    const { libDir } = this.#options;
    const model = tryStat(this.path(otherVerdict(verdict))) ?? tryStat(libDir);
    const owner = model === undefined ? 'kopano' : String(model.uid);
    const group = model === undefined ? 'kopano' : String(model.gid);
    const mode = model === undefined ? '0775' : (model.mode & 0o7777).toString(8).padStart(4, '0');
    return `install -d -o ${owner} -g ${group} -m ${mode} ${this.path(verdict)}`;
  }
}

function tryStat(place: string): Stats | undefined {
  try {
    return statSync(place);
  } catch {
    return undefined;
  }
}
