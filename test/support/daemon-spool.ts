import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import { Daemon } from '../lab/daemon.ts';
import type { Settings } from '../lab/daemon.ts';
import { KopanoWriter } from '../lab/kopano-writer.ts';
import type { WriteOrder, WriteOutcome } from '../lab/kopano-writer.ts';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { startHere } from './daemon-here.ts';
import { asOneself, program } from './run.ts';
import { filesOf, told } from './spool-files.ts';
import type { FoundFile } from './spool-files.ts';
import { until } from './until.ts';

/** Small times, so that what takes minutes in service takes moments here. */
export const QUICK: Settings = {
  LEARN_SETTLE_MS: '200',
  LEARN_SWEEP_SECONDS: '1',
  STATUS_LISTEN: 'off',
  SHUTDOWN_SECONDS: '2',
};

interface DaemonSpoolOptions {
  /** Where its folder is made. @defaultValue the folder for temporary files */
  readonly parent?: string;
  /** Relative to the folder of the spool. @defaultValue `.learnd` in the drop directory */
  readonly stateDir?: string | undefined;
  /** Classes beside spam and ham. @defaultValue none */
  readonly classes?: readonly Verdict[];
  /** Whom the drop directory is given to. @defaultValue who runs the tests */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Of every daemon, where it has no others. @defaultValue small times */
  readonly settings?: Settings;
}

export interface Sent {
  readonly message: MadeMessage;
  verdict: Verdict;
}

/**
 * A spool in a temporary folder, a writer that works as kopano-spamd does, and the daemons that were
 * started on it. Disposing ends them and removes it.
 */
export class DaemonSpool implements AsyncDisposable {
  readonly folder: string;
  readonly lib: string;
  readonly stateDir: string;
  /** All classes, each with its folder. */
  readonly verdicts: readonly Verdict[];
  /** All that were started, the last one last. */
  readonly daemons: Daemon[] = [];
  /** The last verdict of every name that was judged. */
  readonly sent = new Map<string, Sent>();
  /** Files that were gone at kopano-spamd's last step: whoever took them took them too early. */
  vanished = 0;
  readonly #owner: DaemonSpoolOptions['owner'];
  readonly #settings: Settings;
  readonly #writer: KopanoWriter;

  constructor(options: DaemonSpoolOptions = {}) {
    const { parent = tmpdir(), stateDir, classes = [], owner, settings = QUICK } = options;
    this.folder = mkdtempSync(join(parent, 'learnd-spool-'));
    this.lib = join(this.folder, 'spamd');
    this.stateDir = resolve(this.folder, stateDir ?? 'spamd/.learnd');
    this.verdicts = [...VERDICTS, ...classes];
    this.#owner = owner;
    this.#settings = settings;
    this.#writer = new KopanoWriter({ lib: this.lib });
    this.makeFolders();
  }

  /** The folders as kopano-spamd has them; once more where they were removed. */
  makeFolders(): void {
    for (const place of ['', ...this.verdicts]) {
      const folder = join(this.lib, place);
      mkdirSync(folder, { recursive: true });
      if (this.#owner !== undefined) chownSync(folder, this.#owner.uid, this.#owner.gid);
      chmodSync(folder, 0o755);
    }
  }

  // --- daemons

  /** The last one that was started. */
  get daemon(): Daemon {
    const last = this.daemons.at(-1);
    if (last === undefined) throw new Error('no daemon was started');
    return last;
  }

  /** Starts a daemon in this process. @param flags of `watch` */
  start(settings: Settings = {}, flags: readonly string[] = []): Daemon {
    return this.#keep(startHere(['watch', ...flags], this.environment(settings)));
  }

  /**
   * Starts the built program.
   * @param through a command that runs the one that follows it, and becomes it
   * @param flags of Node.js
   */
  async spawn(
    settings: Settings = {},
    through: readonly string[] = [],
    flags: readonly string[] = [],
  ): Promise<Daemon> {
    const node = [...through, process.execPath, ...flags];
    const command = [...node, program(), ...asOneself(), 'watch'];
    return this.#keep(await Daemon.spawn(command, this.environment(settings)));
  }

  /** What a daemon, or a command beside it, is started with. */
  environment(settings: Settings = {}): Settings {
    const places = { KOPANO_SPAMD_LIB: this.lib, LEARN_STATE_DIR: this.stateDir };
    return { ...this.#settings, ...places, ...settings };
  }

  #keep(daemon: Daemon): Daemon {
    this.daemons.push(daemon);
    return daemon;
  }

  // --- messages

  /** Writes as kopano-spamd does. */
  write(order: WriteOrder): Promise<WriteOutcome> {
    return this.#writer.write(order);
  }

  /**
   * Writes a verdict as kopano-spamd does. On a slow machine a file may be taken before its mark, whole,
   * where the settle time is short.
   */
  async judge(message: MadeMessage, verdict: Verdict = message.verdict): Promise<void> {
    const { name, raw: body } = message;
    this.sent.set(name, { message, verdict });
    const outcome = await this.write({ verdict, name, body });
    if (outcome.kind === 'failed') throw new Error(`the writer failed: ${outcome.message}`);
    if (outcome.kind === 'vanished') this.vanished += 1;
  }

  async judgeAll(...messages: readonly MadeMessage[]): Promise<void> {
    for (const message of messages) await this.judge(message);
  }

  /** Judges made messages at a steady pace, as spam and ham by turns. */
  async judgeMany(count: number, perSecond: number, firstSeed = 0): Promise<void> {
    const start = performance.now();
    for (let i = 0; i < count; i += 1) {
      await sleep(Math.max(0, start + (i * 1000) / perSecond - performance.now()));
      await this.judge(makeMessage(i % 2 === 0 ? 'spam' : 'ham', firstSeed + i));
    }
  }

  /** Puts a message there at once, finished. */
  put({ verdict, name, raw }: MadeMessage): void {
    const path = join(this.folder, name);
    writeFileSync(path, raw);
    chmodSync(path, 0o660);
    renameSync(path, join(this.lib, verdict, name));
  }

  // --- files

  /** What lies there, the hidden ones left out: `drop/spam/NAME`, `staged/ham/NAME`, `queue/spam/NAME`. */
  places(...rooms: readonly FoundFile['room'][]): string[] {
    return filesOf(this, rooms)
      .filter(({ room, name }) => rooms.includes(room) && !name.startsWith('.'))
      .map(told);
  }

  /** The names in a room, or in a folder of it, such as `queue/spam` or `archive/ham/2026-01-31`. */
  names(place: string): string[] {
    const room = place.replace(/\/.*/, '') as FoundFile['room'];
    return this.places(room)
      .filter((each) => each.startsWith(`${place}/`))
      .map((each) => each.replace(/^.*\//s, ''));
  }

  /** Places of its classes in the drop directory and the queue, and half-way. */
  get waiting(): string[] {
    const isOurs = (place: string): boolean => this.verdicts.includes(place.split('/')[1] ?? '');
    return this.places('drop', 'staged', 'queue').filter(isOurs);
  }

  /** Messages in quarantine, without their reason files. */
  get quarantined(): string[] {
    return this.names('quarantine').filter((name) => !name.endsWith('.json'));
  }

  /** What the reason file of a message in quarantine says. */
  reasonOf({ verdict, name }: MadeMessage): Readonly<Record<string, unknown>> {
    const file = join(this.stateDir, 'quarantine', verdict, `${name}.json`);
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  }

  /** Waits until nothing waits any more. */
  async untilDone(patienceMs?: number): Promise<void> {
    await until('everything is learned', () => this.waiting.length === 0, patienceMs);
  }

  // --- its end

  /** Ends all daemons that were started on it. */
  async kill(): Promise<void> {
    for (const daemon of this.daemons) await daemon.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    for (const folder of [this.folder, this.stateDir]) {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
