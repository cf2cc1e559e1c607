import { closeSync, fstatSync, openSync, readSync, renameSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open } from 'node:fs/promises';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { Folder, READ_SAFELY } from './folder.ts';
import { isKey } from './message.ts';
import type { QuarantineReason } from './quarantine.ts';
import { classesIn } from './state-dir.ts';

/**
 * The quarantine as an operator's command sees it: beside a daemon that may put messages there or
 * remove them at the same moment, or without any. It makes no folder, and writes neither queue nor
 * drop directory. Every step is safe to repeat; a message's reason goes after the message itself.
 */

/** One message in quarantine. */
export interface Quarantined {
  readonly verdict: Verdict;
  /** Its name in the state dir. */
  readonly key: string;
}

/** What became of a step: `gone` when the daemon, or another command, was quicker. */
export type Moved = 'done' | 'gone';

/** A reason as it was found; a field that can't be read is missing. */
type FoundReason = Partial<QuarantineReason>;

const CHUNK_BYTES = 65_536;

/** By class: whatever classes a daemon has made folders for, those that are no longer set among them. */
type Folders = ReadonlyMap<Verdict, Folder>;

export class QuarantinedMessages implements Disposable {
  readonly #root: Folder;
  readonly #quarantine: Folders;
  readonly #release: Folders;

  private constructor(root: Folder) {
    this.#root = root;
    this.#quarantine = openAll(root, 'quarantine');
    this.#release = openAll(root, 'release');
  }

  /** The classes that it has folders for. */
  get verdicts(): readonly Verdict[] {
    return [...this.#quarantine.keys()];
  }

  /**
   * Opens the quarantine of a state dir.
   * @returns `undefined` when there is no state dir
   * @throws {OperatorError} `quarantine.*` when it may not be entered or is no folder
   */
  static open(stateDir: string): QuarantinedMessages | undefined {
    const root = openFolder(stateDir, () => Folder.open(stateDir));
    return root === undefined ? undefined : new QuarantinedMessages(root);
  }

  [Symbol.dispose](): void {
    const folders = [...this.#quarantine.values(), ...this.#release.values()];
    for (const each of [this.#root, ...folders]) each.close();
  }

  /** Lists what is there, as it comes. What comes and goes meanwhile may be in it. */
  *list(): Generator<Quarantined, void, undefined> {
    for (const [verdict, folder] of this.#quarantine) {
      try {
        for (const { rawName: key } of folder.list()) if (isKey(key)) yield { verdict, key };
      } catch (error) {
        throw forOperator(folder, error);
      }
    }
  }

  has(message: Quarantined): boolean {
    return holds(this.#quarantine, message);
  }

  /** Whether it was released, and the owner hasn't taken it yet. */
  isReleased(message: Quarantined): boolean {
    return holds(this.#release, message);
  }

  /** Why it is here; empty when that can't be read. */
  reason({ verdict, key }: Quarantined): FoundReason {
    const folder = this.#quarantine.get(verdict);
    if (folder === undefined) return {};
    try {
      return parseReason(readSmallFile(folder, `${key}.json`));
    } catch (error) {
      if (errnoOf(error) === undefined && !(error instanceof SyntaxError)) throw error;
      return {};
    }
  }

  /**
   * The message, piece by piece.
   * @throws {OperatorError} when it is no regular file with one link: nobody has read it, and it
   *   may lead to a file that isn't a message
   */
  async *body(message: Quarantined): AsyncGenerator<Buffer, void, undefined> {
    const folder = this.#quarantine.get(message.verdict);
    const stats = folder && guard(folder, () => folder.lstat(message.key));
    if (folder === undefined || stats === undefined) return;
    checkFit(message, stats);
    const told = (error: unknown): never => {
      throw forOperator(folder, error);
    };
    const file = await open(folder.at(message.key), READ_SAFELY).catch(told);
    try {
      checkFit(message, await file.stat({ bigint: true }).catch(told));
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES)).catch(told);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  /**
   * Asks the owner to take a message back into the queue.
   * @throws {OperatorError} when the daemon hasn't made the folder for that, or it is forbidden
   */
  release(message: Quarantined): Moved {
    const to = this.#release.get(message.verdict);
    if (to === undefined) {
      throw fault(
        'no-release',
        `${this.#root.path}/release is missing, where the daemon looks for released messages`,
        'start kopano-learnd (watch) of this version once: it makes the folder',
      );
    }
    return this.#leave(message, (folder) => renameSync(folder.at(message.key), to.at(message.key)));
  }

  /** Removes a message for good. */
  drop(message: Quarantined): Moved {
    // What lies here unread may be a folder, and its writer may still be at work in it.
    return this.#leave(message, (folder) => folder.removeTree(message.key));
  }

  /** Takes the message away, then its reason, unless that is another one by now. */
  #leave({ verdict, key }: Quarantined, take: (folder: Folder) => void): Moved {
    const folder = this.#quarantine.get(verdict);
    if (folder === undefined) return 'gone';
    return guard(folder, () => {
      const reason = `${key}.json`;
      const before = folder.lstat(reason);
      const isThere = folder.lstat(key) !== undefined;
      try {
        if (isThere) take(folder);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || folder.lstat(key) !== undefined) throw error;
        return 'gone';
      }
      const isMine = folder.lstat(key) === undefined && folder.lstat(reason)?.ino === before?.ino;
      if (isMine) folder.removeFile(reason);
      return isThere ? 'done' : 'gone';
    });
  }
}

function openAll(root: Folder, name: string): Folders {
  const place = `${root.path}/${name}`;
  using parent = openFolder(place, () => root.openFolder(name));
  const folders = new Map<Verdict, Folder>();
  if (parent === undefined) return folders;
  const further = guard(parent, () => classesIn(parent));
  for (const verdict of new Set([...VERDICTS, ...further.sort()])) {
    const folder = openFolder(place, () => parent.openFolder(verdict));
    if (folder !== undefined) folders.set(verdict, folder);
  }
  return folders;
}

function openFolder(place: string, act: () => Folder): Folder | undefined {
  try {
    return act();
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'EACCES' || code === 'EPERM') throw forbidden(place);
    if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
    throw fault(
      'not-a-folder',
      `${place} is not a folder (a symlink is not followed)`,
      'set LEARN_STATE_DIR as the daemon has it',
      EXIT.configuration,
    );
  }
}

function holds(folders: Folders, { verdict, key }: Quarantined): boolean {
  const folder = folders.get(verdict);
  if (folder === undefined || !isKey(key)) return false;
  return guard(folder, () => folder.lstat(key)) !== undefined;
}

function guard<T>(folder: Folder, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw forOperator(folder, error);
  }
}

function forOperator({ path, stats }: Folder, error: unknown): unknown {
  const code = errnoOf(error);
  if (code === undefined) return error;
  if (code === 'EACCES' || code === 'EPERM') return forbidden(path, `uid ${stats.uid}`);
  const hint = 'mend that, and say it again: what is done already stays done';
  return fault('disk', `${path}: the file system answers ${code}`, hint);
}

function forbidden(place: string, owner = "the daemon's user"): OperatorError {
  const message = `${place} may not be used by this user (permission denied)`;
  return fault('forbidden', message, `run the command as ${owner}, or as root`);
}

function fault(
  code: string,
  message: string,
  hint: string,
  exitCode: ExitCode = EXIT.failure,
): OperatorError {
  return new OperatorError({ code: `quarantine.${code}`, message, hint, exitCode });
}

function checkFit({ verdict, key }: Quarantined, stats: BigIntStats): void {
  if (stats.isFile() && stats.nlink === 1n) return;
  const what = stats.isFile() ? 'has several hard links' : 'is not a regular file';
  throw fault(
    'unfit',
    `${verdict}/${key} ${what}, so it is not read`,
    `look at it by hand, or remove it: kopano-learnd quarantine drop ${verdict}/${key}`,
  );
}

function readSmallFile(folder: Folder, name: string): string {
  const fd = openSync(folder.at(name), READ_SAFELY);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return '{}';
    // Of its own size: 100,000 large buffers outrun the garbage collector.
    const buffer = Buffer.allocUnsafe(Math.min(stats.size, CHUNK_BYTES));
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}

function parseReason(text: string): FoundReason {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null) return {};
  const { reason, messageId, quarantinedAt, attempts }: Record<string, unknown> = { ...parsed };
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof messageId === 'string' ? { messageId } : {}),
    ...(typeof quarantinedAt === 'string' ? { quarantinedAt } : {}),
    ...(typeof attempts === 'number' ? { attempts } : {}),
  };
}
