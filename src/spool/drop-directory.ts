import { errnoOf } from '../errors.ts';
import { plainName } from '../host.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { VERDICTS, otherVerdict } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { DiskFaults } from './disk-faults.ts';
import { Folder, isFolder, statsAt } from './folder.ts';
import { crossesDevices, octal } from './state-dir.ts';
import { isOutsiders, outsidersCure } from './user-namespace.ts';

/**
 * The drop directory: kopano-spamd's folders `spam/` and `ham/`. They are never made here. A folder
 * that is missing is asked for again, one that was replaced is opened anew.
 */
export interface ClassFolder {
  readonly verdict: Verdict;
  readonly folder: Folder;
  /** A rename into the queue is refused with EXDEV: it was when the folder was opened, or later. */
  elsewhere: boolean;
  /** A file on its way to another file system may lie in it: else no pickup has to ask. */
  mayHoldStaged: boolean;
}

export interface DropDirectoryOptions {
  readonly libDir: string;
  readonly queue: Readonly<Record<Verdict, Folder>>;
  readonly faults: DiskFaults;
  readonly log: Log;
  readonly throttle: LogThrottle;
}

/** Why a folder isn't open. */
type Closed =
  | 'missing'
  /** The daemon has no permission for it, or it is no folder. */
  | 'barred'
  /** What may pass by itself: a failing disk, a dead FUSE mount, a stale one of NFS. */
  | 'failing';

const CLOSED: Readonly<Record<string, Closed>> = {
  ENOENT: 'missing',
  EACCES: 'barred',
  EPERM: 'barred',
  ELOOP: 'barred',
  ENOTDIR: 'barred',
};

export class DropDirectory {
  readonly #options: DropDirectoryOptions;
  readonly #open = new Map<Verdict, ClassFolder>();
  readonly #closed = new Map<Verdict, Closed>();

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
    const closed = this.#closed.get(verdict);
    return closed === 'missing' ? isFolder(this.path(verdict)) : closed !== 'barred';
  }

  /** Compares the folders with their paths. Returns those that were opened by this call. */
  refresh(): ClassFolder[] {
    const stale = VERDICTS.filter(
      (verdict) => this.#open.get(verdict)?.folder.isCurrent() !== true,
    );
    return stale.flatMap((verdict) => {
      this.drop(verdict);
      const opened = this.#openFolder(verdict);
      if (opened === undefined) return [];
      this.#open.set(verdict, opened);
      return [opened];
    });
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
    const { faults, log, throttle, queue, libDir } = this.#options;
    const path = this.path(verdict);
    this.#closed.delete(verdict);
    let folder: Folder | undefined;
    try {
      folder = Folder.open(path);
      const elsewhere = crossesDevices(folder, queue[verdict]);
      throttle.forget(`missing ${verdict}`);
      faults.clear(path);
      return { verdict, folder, elsewhere, mayHoldStaged: true };
    } catch (error) {
      folder?.close();
      const code = errnoOf(error);
      if (code === undefined) throw error;
      this.#closed.set(verdict, CLOSED[code] ?? 'failing');
      if (DiskFaults.isWide(error)) faults.raise(path, error);
      else if (throttle.allows(`missing ${verdict}`, code)) {
        const { message, cure } = openErrorHint(libDir, verdict, code);
        log('warning', 'spool.missing', message, { path, code, cure });
      }
      return undefined;
    }
  }
}

/**
 * What is wrong with a class folder that can't be opened, and the line that makes it right.
 * @param code why it couldn't be opened
 */
export function openErrorHint(
  libDir: string,
  verdict: Verdict,
  code: string,
): { readonly message: string; readonly cure: string } {
  const place = `${libDir}/${verdict}`;
  if (code === 'ENOENT') {
    const cure = installLine(libDir, verdict);
    return { message: `${place} is missing; it is waited for. Make it: ${cure}`, cure };
  }
  if (code === 'EACCES') {
    const cure = accessCure(libDir, place);
    return { message: `${place} cannot be opened (permission denied); ${cure}`, cure };
  }
  if (code === 'ELOOP' || code === 'ENOTDIR') {
    const cure = `replace it by a folder: rm ${place} && ${installLine(libDir, verdict)}`;
    return { message: `${place} is not a folder (a symlink is not followed); ${cure}`, cure };
  }
  const cure = 'look at the file system; it is tried again';
  return { message: `${place} cannot be opened (${code}); ${cure}`, cure };
}

/** The line that makes a missing folder right: like its sibling, else like the spool. */
function installLine(libDir: string, verdict: Verdict): string {
  const model = statsAt(`${libDir}/${otherVerdict(verdict)}`) ?? statsAt(libDir);
  if (model !== undefined && isOutsiders(model)) {
    return `install -d -o OWNER -g GROUP -m MODE ${libDir}/${verdict}, on the host and with those of ${libDir}`;
  }
  const place = `${libDir}/${verdict}`;
  if (model === undefined) return `install -d -o kopano -g kopano -m 0775 ${place}`;
  const [user, group] = [plainName('uid', model.uid), plainName('gid', model.gid)];
  return `install -d -o ${user} -g ${group} -m ${octal(model.mode)} ${place}`;
}

function accessCure(libDir: string, place: string): string {
  const stats = statsAt(place);
  // It can't even be seen where its parent may not be entered.
  const [closed, owner] = stats === undefined ? [libDir, statsAt(libDir)] : [place, stats];
  if (owner === undefined) return `let the daemon's user enter ${libDir}`;
  if (isOutsiders(owner)) return outsidersCure(closed);
  const is = `uid ${owner.uid}, gid ${owner.gid}, mode ${octal(owner.mode)}:`;
  return stats === undefined
    ? `${is} let the daemon's user enter ${libDir}: give it that group and the folder g+x, or: chmod o+x ${libDir}`
    : `${is} kopano-learnd doctor says which command lets the daemon's user in`;
}
