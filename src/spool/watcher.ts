import { watch } from 'chokidar';
import type { FSWatcher } from 'chokidar';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import type { Verdict } from '../verdict.ts';
import type { SpoolContext } from './context.ts';

/**
 * The watcher: chokidar, told to watch the class folders and none of the files in them. An event is a
 * hint that a name, or the whole folder, is worth a look; it may be missing or wrong, and sweeps find
 * what no event came for. It costs one inotify watch a folder.
 *
 * Only `raw` events are used: chokidar's own bookkeeping of a flat folder of 100,000 files takes
 * 433 MB and 100,001 watches, and loses most of what is added meanwhile (chokidar 5, observed).
 */
interface WatcherOptions extends SpoolContext {
  /** `rawName` is undefined when the whole folder wants a look. */
  readonly onChange: (verdict: Verdict, rawName: string | undefined) => void;
  /** A folder can't be watched; sweeps have to do. */
  readonly onFailure: () => void;
}

/** What is being done, where it is a bug. */
const WATCH = 'the watch on a class folder';

export class FolderWatcher {
  readonly #options: WatcherOptions;
  readonly #watchers = new Map<Verdict, FSWatcher>();

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  /** True when every class folder that is there is watched. */
  get isWatchingAll(): boolean {
    const { drop } = this.#options;
    return drop.folders.every(({ verdict }) => this.#watchers.has(verdict));
  }

  /** Watches the class folders, unless they are polled. */
  watchFolders(): void {
    const { drop, polling } = this.#options;
    if (polling) return;
    for (const verdict of drop.verdicts) {
      if (drop.get(verdict) === undefined) this.unwatch(verdict);
      else if (!this.#watchers.has(verdict)) this.#watch(verdict);
    }
  }

  unwatch(verdict: Verdict): void {
    const watcher = this.#watchers.get(verdict);
    this.#watchers.delete(verdict);
    watcher?.close().catch((error: unknown) => this.#options.bugs.report(error, WATCH));
  }

  close(): void {
    for (const verdict of [...this.#watchers.keys()]) this.unwatch(verdict);
  }

  #watch(verdict: Verdict): void {
    const { drop, faults, onChange, onFailure, bugs } = this.#options;
    const path = drop.path(verdict);
    const place = `the watch on ${path}`;
    const watcher = watch(path, {
      ignored: (candidate) => candidate !== path,
      ignoreInitial: true,
      followSymlinks: false,
      depth: 0,
      atomic: false,
    });
    // At each event it would list the folder, once a second at most, and look at every file in it.
    watcher._readdirp = () => undefined;
    this.#watchers.set(verdict, watcher);
    const isInUse = (): boolean => this.#watchers.get(verdict) === watcher;
    watcher.on('raw', (_event, name) => {
      bugs.guard(WATCH, () => onChange(verdict, rawNameOf(name)));
    });
    watcher.on('ready', () => {
      bugs.guard(WATCH, () => {
        if (isInUse()) faults.clear(place); // it comes after an error, too
        // No event came for what was added while chokidar was starting.
        onChange(verdict, undefined);
      });
    });
    watcher.on('error', (error) => {
      bugs.guard(WATCH, () => {
        if (!isInUse()) return;
        this.unwatch(verdict);
        onFailure();
        faults.raise(place, explained(error));
      });
    });
  }
}

/** A fault of the watch isn't one of the folder, and has another cure. */
function explained(error: unknown): unknown {
  const code = errnoOf(error);
  if (code === undefined) return error;
  const hint =
    code === 'ENOSPC' || code === 'EMFILE'
      ? 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances'
      : 'set LEARN_POLLING=yes where the file system has no inotify';
  const message = `it fails (${code}), and the folder is swept every 2 s instead`;
  return new OperatorError({ code, message, hint, exitCode: EXIT.failure });
}

/** Node.js hands names over as UTF-8 text; one that wasn't UTF-8 can't be told from others. */
function rawNameOf(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '' || name.includes('\ufffd')) return undefined;
  return Buffer.from(name, 'utf8').toString('latin1');
}
