import { readlinkSync } from 'node:fs';
import { errnoOf, ifAllowed } from '../errors.ts';
import { plainName } from '../host.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { clean, inShell } from '../text.ts';
import { VERDICTS, classesOf, ofClass, othersOf } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import { DiskFaults } from './disk-faults.ts';
import { Folder, isFolder, statsAt } from './folder.ts';
import { crossesDevices, octal } from './state-dir.ts';
import { isOutsiders, outsidersCure } from './user-namespace.ts';

/**
 * The drop directory: kopano-spamd's folders `spam/` and `ham/`, and those of further classes. They
 * are never made here. A folder that is missing is asked for again, one that was replaced is opened
 * anew.
 */
export interface ClassFolder {
  readonly verdict: Verdict;
  readonly folder: Folder;
  /** A rename into the queue is refused with EXDEV: it was when the folder was opened, or later. */
  elsewhere: boolean;
  /** A file on its way to another file system may lie in it: else no pickup has to ask. */
  mayHoldStaged: boolean;
}

interface DropDirectoryOptions {
  readonly libDir: string;
  readonly queue: PerClass<Folder>;
  readonly faults: DiskFaults;
  readonly log: Log;
  readonly throttle: LogThrottle;
}

/** The daemon has no permission for the folder, or it is none: that doesn't pass by itself. */
const BARRED = new Set(['EACCES', 'EPERM', 'ELOOP', 'ENOTDIR']);

export class DropDirectory {
  readonly #options: DropDirectoryOptions;
  readonly #open = new Map<Verdict, ClassFolder>();
  /** Why a folder isn't open: the system's code. */
  readonly #closed = new Map<Verdict, string>();

  constructor(options: DropDirectoryOptions) {
    this.#options = options;
  }

  /** All classes, whether their folders are there or not. */
  get verdicts(): readonly Verdict[] {
    return classesOf(this.#options.queue);
  }

  path(verdict: Verdict): string {
    return `${this.#options.libDir}/${verdict}`;
  }

  get(verdict: Verdict): ClassFolder | undefined {
    return this.#open.get(verdict);
  }

  /** The folders that are there. */
  get folders(): readonly ClassFolder[] {
    return [...this.#open.values()];
  }

  /** True when all folders are there. */
  get isComplete(): boolean {
    return this.#open.size === this.verdicts.length;
  }

  /**
   * True when a folder may hold files that only the next refresh can show: it was made, removed or
   * replaced, or its disk failed when it was to be opened. One that stays barred is not waited for.
   */
  isUncertain(verdict: Verdict): boolean {
    const open = this.#open.get(verdict);
    if (open !== undefined) return !open.folder.isCurrent();
    const code = this.#closed.get(verdict) ?? '';
    return code === 'ENOENT' ? isFolder(this.path(verdict)) : !BARRED.has(code);
  }

  /** Compares the folders with their paths. Returns those that were opened by this call. */
  refresh(): ClassFolder[] {
    return this.verdicts.flatMap((verdict) => {
      if (this.#open.get(verdict)?.folder.isCurrent() === true) return [];
      this.drop(verdict);
      return this.#openFolder(verdict) ?? [];
    });
  }

  /** Lets go of a folder; the next refresh opens it again. */
  drop(verdict: Verdict): void {
    this.#open.get(verdict)?.folder.close();
    this.#open.delete(verdict);
  }

  close(): void {
    for (const verdict of this.verdicts) this.drop(verdict);
  }

  #openFolder(verdict: Verdict): ClassFolder | undefined {
    const { faults, log, throttle, queue, libDir } = this.#options;
    const path = this.path(verdict);
    this.#closed.delete(verdict);
    let folder: Folder | undefined;
    try {
      folder = Folder.open(path);
      const elsewhere = crossesDevices(folder, ofClass(queue, verdict));
      throttle.forget(`missing ${verdict}`);
      faults.clear(path);
      const opened = { verdict, folder, elsewhere, mayHoldStaged: true };
      this.#open.set(verdict, opened);
      return opened;
    } catch (error) {
      folder?.close();
      const code = errnoOf(error);
      if (code === undefined) throw error;
      this.#closed.set(verdict, code);
      if (DiskFaults.isWide(error)) faults.raise(path, error);
      else if (throttle.allows(`missing ${verdict}`, code)) {
        const { says, hint, command } = closedFolder(libDir, verdict, code);
        const cure = [hint, command].filter((each) => each !== undefined).join(': ');
        log('warning', 'spool.missing', `${says}; it is waited for. Cure: ${cure}`, {
          path,
          code,
          cure: command ?? hint,
        });
      }
      return undefined;
    }
  }
}

/** What is wrong with a class folder that can't be opened, and what makes it right. */
interface ClosedFolder {
  /** With the folder's path. */
  readonly says: string;
  readonly hint: string;
  readonly command?: string | undefined;
}

/** @param code why it couldn't be opened */
export function closedFolder(libDir: string, verdict: Verdict, code: string): ClosedFolder {
  const place = `${libDir}/${verdict}`;
  if (code === 'ENOENT') {
    return { says: `${place} is missing`, ...makeFolder(libDir, verdict) };
  }
  if (code === 'EACCES') {
    const says = `${place} cannot be opened (permission denied)`;
    return { says, hint: accessCure(libDir, place) };
  }
  if (code === 'ELOOP' || code === 'ENOTDIR') return noFolder(libDir, verdict, code);
  const hint = 'look at the file system; it is tried again';
  return { says: `${place} cannot be opened (${code})`, hint };
}

/** Something else has the folder's name. It goes out of the way, so that nothing of it is lost. */
function noFolder(libDir: string, verdict: Verdict, code: string): ClosedFolder {
  const place = `${libDir}/${verdict}`;
  const target = ifAllowed(() => readlinkSync(place));
  const is =
    target === undefined
      ? `is not a folder (${code})`
      : `is a symlink to ${clean(target)}, and is not followed`;
  const { hint, command } = makeFolder(libDir, verdict);
  const aside = `mv -nT ${inShell(place)} ${inShell(`${place}.old`)}`;
  return {
    says: `${place} ${is}`,
    hint:
      target === undefined
        ? `put it aside, and ${hint}`
        : `put the link aside, and ${hint}; what lies behind it stays there`,
    command: command && `${aside} && ${command}`,
  };
}

/** The line that makes a missing folder right: like a sibling, else like the spool. */
function makeFolder(libDir: string, verdict: Verdict): Pick<ClosedFolder, 'hint' | 'command'> {
  const siblings = othersOf(VERDICTS, verdict).toReversed();
  const models = [...siblings.map((each) => `${libDir}/${each}`), libDir];
  const model = models.map(statsAt).find((stats) => stats !== undefined);
  if (model !== undefined && isOutsiders(model)) {
    return { hint: `make it on the host, with owner, group and mode of ${libDir}` };
  }
  const hint = 'make it, as kopano-spamd makes its folders';
  const place = inShell(`${libDir}/${verdict}`);
  if (model === undefined)
    return { hint, command: `install -d -o kopano -g kopano -m 0775 ${place}` };
  const [user, group] = [plainName('uid', model.uid), plainName('gid', model.gid)];
  return { hint, command: `install -d -o ${user} -g ${group} -m ${octal(model.mode)} ${place}` };
}

function accessCure(libDir: string, place: string): string {
  const stats = statsAt(place);
  // It can't even be seen where its parent may not be entered.
  const [closed, owner] = stats === undefined ? [libDir, statsAt(libDir)] : [place, stats];
  if (owner === undefined) return `let the daemon's user enter ${libDir}`;
  if (isOutsiders(owner)) return outsidersCure(closed);
  const is = `uid ${owner.uid}, gid ${owner.gid}, mode ${octal(owner.mode)}:`;
  return stats === undefined
    ? `${is} let the daemon's user enter ${libDir}: give it that group and the folder g+x, or: chmod o+x ${inShell(libDir)}`
    : `${is} kopano-learnd doctor says which command lets the daemon's user in`;
}
