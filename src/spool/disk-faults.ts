import type { Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import { LocalFault, OperatorError, errnoOf, isBug } from '../errors.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';

/** What `DiskFaults.guard` returns instead of a value. */
export const FAULTED = Symbol('a disk fault');

interface GuardOptions<T> {
  /** A place of its own for an error that doesn't concern the rest of `place`. */
  readonly narrow?: (error: unknown) => string | undefined;
  /** Whether this result shows that the place works. @defaultValue any does */
  readonly proves?: (value: T) => boolean;
  /** An error of this program is the caller's matter. @defaultValue false */
  readonly throwsBugs?: boolean;
}

/** A place that doesn't work, with the system's code and what it means. */
export interface DiskFault {
  readonly place: string;
  readonly code: string;
  readonly says: string;
}

/** A place that may not be tried again before `until`, on the monotonic clock. */
interface Paused {
  until: number;
  /** Missing where an error of this program is all that was met. */
  fault?: DiskFault;
  isSaid: boolean;
}

/** Faults of the disk or the process, not of the one file or folder that met them. */
const WIDE = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM']);

/** Faults of rights, for which a command of the doctor's helps. */
const RIGHTS = new Set(['EACCES', 'EPERM']);

/**
 * Disk faults: a full disk, an I/O error, too many open files. A fault pauses the place that it
 * touches, is logged once, is retried every five seconds, and is charged to no message. An error of
 * this program pauses its place as well, and is logged as what it is.
 */
export class DiskFaults {
  static readonly retryMs = 5_000;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bugs: Bugs;
  readonly #throttle: LogThrottle;
  readonly #paused = new Map<string, Paused>();

  constructor(options: { readonly clock: Clock; readonly log: Log; readonly bugs: Bugs }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#bugs = options.bugs;
    this.#throttle = new LogThrottle(options.clock);
  }

  /**
   * Does what needs the disk: an error pauses `place`, success ends the pause.
   * @returns `FAULTED` when it failed
   */
  async guard<T>(
    place: string,
    action: () => T | Promise<T>,
    options: GuardOptions<T> = {},
  ): Promise<T | typeof FAULTED> {
    const { narrow, proves, throwsBugs = false } = options;
    try {
      const value = await action();
      if (proves?.(value) ?? true) this.clear(place);
      return value;
    } catch (error) {
      if (throwsBugs && isBug(error)) throw error;
      this.raise(narrow?.(error) ?? place, error);
      return FAULTED;
    }
  }

  /** Pauses a place. To be called where no action is at hand for `guard`. */
  raise(place: string, error: unknown): void {
    const paused = this.#paused.get(place) ?? { until: 0, isSaid: false };
    this.#paused.set(place, paused);
    paused.until = this.#clock.monotonic() + DiskFaults.retryMs;
    if (isBug(error)) {
      this.#bugs.report(error, place);
      return;
    }
    const { code, says } = faultOf(error);
    paused.fault = { place, code, says };
    if (!this.#throttle.allows(place, code)) return;
    paused.isSaid = true;
    const more = RIGHTS.has(code) ? '; kopano-learnd doctor says which command helps' : '';
    this.#log('err', 'disk.fault', `${place}: ${says}${more}`, {
      place,
      code,
      retrySeconds: DiskFaults.retryMs / 1000,
    });
  }

  /** True when the fault isn't that of a single file or folder. */
  static isWide(error: unknown): boolean {
    return WIDE.has(errnoOf(error) ?? '');
  }

  /** The places that don't work now. */
  get current(): readonly DiskFault[] {
    return [...this.#paused.values()].flatMap(({ fault }) => fault ?? []);
  }

  /** True while some place does not work. */
  get isAny(): boolean {
    return this.#paused.size > 0;
  }

  /** Milliseconds until `place` may be tried again; 0 when it is not paused. */
  pause(place: string): number {
    return Math.max(0, this.retryAt(place) - this.#clock.monotonic());
  }

  /** When `place` may be tried again, on the monotonic clock; 0 when it works. */
  retryAt(place: string): number {
    return this.#paused.get(place)?.until ?? 0;
  }

  /**
   * Ends the pause of a place that works, or where nothing is left that could fail. A fault that comes
   * and goes, as on a disk that is almost full, is logged once a minute all the same.
   */
  clear(place: string): void {
    const paused = this.#paused.get(place);
    this.#paused.delete(place);
    if (paused?.isSaid === true) {
      this.#log('notice', 'disk.ok', `${place}: works again`, { place });
    }
  }
}

function faultOf(error: unknown): Omit<DiskFault, 'place'> {
  if (error instanceof OperatorError) {
    const { message, hint, command } = error;
    const cure = command === undefined ? hint : `${hint}: ${command}`;
    return { code: error.code, says: `${message}; ${cure.replace('::', ':')}` };
  }
  if (error instanceof LocalFault) return { code: error.message, says: error.message };
  const code = errnoOf(error) ?? '';
  return { code, says: CURES[code] ?? `the system answers ${code}` };
}

const CURES: Readonly<Record<string, string>> = {
  ENOSPC: 'no space (or no inode) is left on the device; make room, nothing is lost meanwhile',
  EDQUOT: 'the disk quota is used up; raise it or make room, nothing is lost meanwhile',
  EROFS:
    "the file system is mounted read-only, or the unit's ReadWritePaths= leave it out (kopano-learnd doctor says which); nothing is lost meanwhile",
  EIO: 'the device reports an input/output error; look at the kernel log',
  EMFILE: 'this process has too many open files; raise its limit (ulimit -n)',
  ENFILE: 'the system has too many open files; raise fs.file-max',
  EAGAIN: 'no process can be started now; raise the limit (ulimit -u, pids.max)',
  EXDEV: 'the folders of the state dir, and what lies in them, must be on one file system',
  EACCES:
    'permission denied; the daemon needs write and search permission on this folder to take files out of it',
  EPERM:
    'operation not permitted; in a folder with the sticky bit only the owner of a file may move it',
};
