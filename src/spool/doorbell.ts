import { watch } from 'chokidar';
import type { FSWatcher } from 'chokidar';
import type { Bugs } from '../bugs.ts';
import { errnoOf } from '../errors.ts';
import type { Verdict } from '../verdict.ts';

/**
 * The doorbell: chokidar, told to look at the class folders and at none of the files in them. A
 * ring is a hint that a name, or the whole folder, is worth a look; it may be missing or wrong, and
 * sweeps find what it never rang for. It costs one inotify watch a folder.
 *
 * Only `raw` events are used: chokidar's own bookkeeping of a flat folder of 100,000 files takes
 * 433 MB and 100,001 watches, and loses most of what is added meanwhile (chokidar 5, observed).
 */
export interface DoorbellOptions {
  /** `rawName` is undefined when the whole folder wants a look. */
  readonly onRing: (verdict: Verdict, rawName: string | undefined) => void;
  /** The folder is watched from now on. */
  readonly onArmed: (verdict: Verdict) => void;
  /** The folder can't be watched; sweeps have to do. `code` is unknown where it is a bug. */
  readonly onFailure: (verdict: Verdict, code: string | undefined) => void;
  readonly bugs: Bugs;
}

export class Doorbell {
  readonly #options: DoorbellOptions;
  readonly #watchers = new Map<Verdict, FSWatcher>();

  constructor(options: DoorbellOptions) {
    this.#options = options;
  }

  isArmed(verdict: Verdict): boolean {
    return this.#watchers.has(verdict);
  }

  /** Watches the folder at `path`, instead of what was watched before. */
  arm(verdict: Verdict, path: string): void {
    this.disarm(verdict);
    const watcher = watch(path, {
      ignored: (candidate) => candidate !== path,
      ignoreInitial: true,
      followSymlinks: false,
      depth: 0,
      atomic: false,
    });
    this.#watchers.set(verdict, watcher);
    const { onRing, onArmed, onFailure, bugs } = this.#options;
    watcher.on('raw', (_event, name) => {
      bugs.guard(RING, () => {
        onRing(verdict, rawNameOf(name));
      });
    });
    // What came while chokidar was starting up rang for nobody.
    watcher.on('ready', () => {
      bugs.guard(RING, () => {
        // It comes after an error, too.
        if (this.#watchers.get(verdict) === watcher) onArmed(verdict);
        onRing(verdict, undefined);
      });
    });
    watcher.on('error', (error) => {
      bugs.guard(RING, () => {
        if (this.#watchers.get(verdict) === watcher) this.disarm(verdict);
        const code = errnoOf(error);
        onFailure(verdict, code);
        if (code === undefined) throw error;
      });
    });
  }

  disarm(verdict: Verdict): void {
    const watcher = this.#watchers.get(verdict);
    this.#watchers.delete(verdict);
    watcher?.close().catch((error: unknown) => {
      this.#options.bugs.report(error, RING);
    });
  }

  close(): void {
    for (const verdict of this.#watchers.keys()) this.disarm(verdict);
  }
}

/** What is being done, where it is a bug. */
const RING = 'the watch on a class folder';

/** Node.js hands names over as UTF-8 text; one that wasn't UTF-8 can't be told from others. */
function rawNameOf(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '' || name.includes('\ufffd')) return undefined;
  return Buffer.from(name, 'utf8').toString('latin1');
}
