import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DaemonProcess } from '../../lab/daemon-process.ts';
import { KOPANO } from '../../real/world.ts';
import { secondFolder } from '../../support/run.ts';
import { isRoot } from '../../support/temporary.ts';
import { preload } from '../preload.ts';

/**
 * A spool with Kopano's owner and modes, its state dir beside it or on another file system, and the
 * built program as child processes. It names every file by its place and name, such as
 * `queue/spam/NAME`; what lies half-way between two file systems is `staged/spam/NAME`.
 */

/** kopano-spamd's user, where we may make one up; our own otherwise. */
export const WRITER = isRoot ? KOPANO : { uid: -1, gid: -1 };

const VERDICTS = ['spam', 'ham'] as const;
const ROOMS = ['queue', 'quarantine', 'release', 'archive'] as const;
const STAGED = '.learnd-';

/** One file of the spool or its state dir. */
export interface FoundFile {
  /** Such as `drop/spam`, `archive/ham/2026-01-31`, `tmp`. */
  readonly place: string;
  readonly name: string;
  readonly path: string;
}

export interface KillSpoolOptions {
  /** What is started: the compiled main.js, or the bundle, which starts in half of the time. */
  readonly program: string;
  /** The state dir lies on another file system than the spool. */
  readonly elsewhere: boolean;
}

let failpoints: readonly string[] | undefined;

export class KillSpool implements AsyncDisposable {
  readonly folder: string;
  readonly lib: string;
  readonly state: string;
  /** Where the program's steps are written down. */
  readonly stepsFile: string;
  readonly #program: string;
  readonly #elsewhere: string | undefined;
  readonly #daemons: DaemonProcess[] = [];

  constructor({ program, elsewhere }: KillSpoolOptions) {
    this.#program = program;
    this.folder = mkdtempSync(join(tmpdir(), 'learnd-kill-'));
    chmodSync(this.folder, 0o755);
    this.lib = join(this.folder, 'spamd');
    this.#elsewhere = elsewhere ? mkdtempSync(join(secondFolder(), 'learnd-kill-')) : undefined;
    this.state = join(this.#elsewhere ?? this.lib, '.learnd');
    this.stepsFile = join(this.folder, 'steps');
    for (const folder of [this.lib, join(this.lib, 'spam'), join(this.lib, 'ham')]) {
      mkdirSync(folder);
      chownSync(folder, WRITER.uid, WRITER.gid);
    }
  }

  /** Starts the program; with `failpoint` it writes its steps down and dies at that one. */
  async start(
    settings: Readonly<Record<string, string>>,
    options: { readonly args?: readonly string[]; readonly failpoint?: string } = {},
  ): Promise<DaemonProcess> {
    const { args = ['watch'], failpoint } = options;
    failpoints ??= preload('kill/failpoints.ts');
    const { lib, state } = this;
    const daemon = await DaemonProcess.start({
      command: [
        process.execPath,
        ...(failpoint === undefined ? [] : failpoints),
        this.#program,
        ...args,
      ],
      settings: {
        KOPANO_SPAMD_LIB: lib,
        LEARN_STATE_DIR: state,
        STATUS_LISTEN: 'off',
        ...(failpoint === undefined
          ? {}
          : {
              FAILPOINT_AT: failpoint,
              FAILPOINT_LOG: this.stepsFile,
              FAILPOINT_LIB: lib,
              FAILPOINT_STATE: state,
            }),
        ...settings,
      },
      searchPath: process.env['PATH'] ?? '',
      folder: this.folder,
    });
    this.#daemons.push(daemon);
    return daemon;
  }

  /** The steps that were written down; the last one is `KILLED` where one was fatal. */
  get steps(): readonly string[] {
    return readFileSync(this.stepsFile, 'utf8').split('\n').slice(0, -1);
  }

  get daemons(): readonly DaemonProcess[] {
    return this.#daemons;
  }

  /** Lets a file lie somewhere, as the daemon's own: readable for nobody else. */
  put(place: string, name: string, body: string | Buffer, mtime: Date): void {
    const path = this.#pathOf(place, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, body, { mode: 0o600 });
    utimesSync(path, mtime, mtime);
  }

  /** The same as its writer would leave it. */
  putMarked(place: string, name: string, body: string | Buffer, mtime: Date): void {
    this.put(place, name, body, mtime);
    const path = this.#pathOf(place, name);
    chownSync(path, WRITER.uid, WRITER.gid);
    chmodSync(path, 0o660);
  }

  /** Makes the folders that a daemon would have made for releases. */
  makeRelease(): void {
    for (const verdict of VERDICTS) {
      mkdirSync(join(this.state, 'release', verdict), { recursive: true, mode: 0o700 });
    }
  }

  /** Everything that lies there, the reasons of the quarantine too. */
  found(): FoundFile[] {
    const files: FoundFile[] = [];
    const list = (place: string, folder: string): void => {
      if (!existsSync(folder)) return;
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) list(`${place}/${entry.name}`, path);
        else files.push({ place, name: entry.name, path });
      }
    };
    for (const verdict of VERDICTS) {
      for (const { name, path } of filesOf(join(this.lib, verdict))) {
        const isStaged = name.startsWith(STAGED);
        const place = `${isStaged ? 'staged' : 'drop'}/${verdict}`;
        files.push({ place, name: isStaged ? name.slice(STAGED.length) : name, path });
      }
      for (const room of ROOMS) list(`${room}/${verdict}`, join(this.state, room, verdict));
    }
    list('tmp', join(this.state, 'tmp'));
    return files;
  }

  #pathOf(place: string, name: string): string {
    const [room = '', ...rest] = place.split('/');
    if (room === 'drop') return join(this.lib, ...rest, name);
    if (room === 'staged') return join(this.lib, ...rest, STAGED + name);
    return join(this.state, place, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon.kill();
    for (const folder of [this.folder, this.#elsewhere]) {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    }
  }
}

function filesOf(folder: string): { name: string; path: string }[] {
  return readdirSync(folder).map((name) => ({ name, path: join(folder, name) }));
}
