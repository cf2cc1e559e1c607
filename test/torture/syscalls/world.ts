import childProcess from 'node:child_process';
import { EventEmitter } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { watch } from '../../../src/daemon/watch.ts';
import { loadConfig } from '../../../src/config.ts';
import type { Environment } from '../../../src/config.ts';
import { OperatorError } from '../../../src/errors.ts';
import type { Log } from '../../../src/logger.ts';
import type { Outcome, Trainer } from '../../../src/trainers/trainer.ts';
import { VERDICTS } from '../../../src/verdict.ts';
import type { Verdict } from '../../../src/verdict.ts';
import type { LogLine } from '../../support/log-recorder.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { secondFolder } from '../../support/run.ts';
import { ScriptedTrainer } from '../../support/scripted-trainer.ts';
import { MARK } from '../../support/test-spool.ts';
import { Replacements, systemError, watchFileSystem } from '../../support/fs-steps.ts';
import type { FsStep } from '../../support/fs-steps.ts';
import { filesOf, violationsIn } from '../../support/spool-files.ts';
import type { FoundFile } from '../../support/spool-files.ts';
import { Killed } from '../killed.ts';
import { KILL, POST, canMeet, spreads } from './faults.ts';
import type { Fault } from './faults.ts';

/**
 * The whole daemon (`watch`) in this process, on a real file system of which one step fails or is the
 * last one, with a clock of the test's and a controller that does as it is told. What this file does
 * itself is no step and never fails.
 *
 * A process that dies is told to stop, and from then on no step of it takes effect but that it
 * closes what it has open, as the kernel would.
 */

interface TimedLine extends LogLine {
  readonly at: number;
}

/** How long a fault that lasts does so. */
const FAULT_MS = 20_000;
/** Time that passes with a turn of the event loop: little while something happens, more in waits. */
const BUSY_MS = 5;
const IDLE_MS = 100;
const REAL_PATIENCE_MS = 30_000;

export class SyscallsWorld {
  readonly folder: string;
  readonly lib: string;
  readonly state: string;
  readonly clock = new ManualClock();
  readonly trainer = new ScriptedTrainer();
  readonly lines: TimedLine[] = [];
  readonly steps: FsStep[] = [];
  /** Every body that was ever written, by the name in it. */
  readonly bodies = new Map<string, Set<string>>();
  /** How each run of the daemon ended: its exit code, or what it threw. */
  readonly ends: unknown[] = [];
  /** What was not as it must be when the process had died. */
  readonly violations: string[] = [];
  injections = 0;
  endedAt = 0;
  /** When the cause was gone; `undefined` while it isn't, or was never there. */
  healedAt: number | undefined;
  readonly #elsewhere: string | undefined;
  readonly #environment: Environment;
  readonly #fault: Fault | undefined;
  readonly #once: boolean;
  readonly #restore: () => void;
  #isQuiet = false;
  #isDead = false;
  /** What was learned as what when the process died. */
  #known: ReadonlyMap<string, Verdict> = new Map();
  #postsAtDeath = Infinity;
  #target: FsStep | undefined;
  #injectedAt: number | undefined;
  #stop: AbortController | undefined;

  constructor(options: {
    readonly settings: Environment;
    readonly elsewhere: boolean;
    readonly once: boolean;
    readonly fault: Fault | undefined;
  }) {
    this.folder = mkdtempSync(join(tmpdir(), 'learnd-syscalls-'));
    this.#elsewhere = options.elsewhere
      ? mkdtempSync(join(secondFolder(), 'learnd-syscalls-'))
      : undefined;
    this.lib = join(this.folder, 'spamd');
    this.state = join(this.#elsewhere ?? this.lib, '.learnd');
    for (const verdict of VERDICTS) mkdirSync(join(this.lib, verdict), { recursive: true });
    this.#environment = {
      KOPANO_SPAMD_LIB: this.lib,
      LEARN_STATE_DIR: this.state,
      LEARN_MAX_ATTEMPTS: '2',
      LEARN_MAX_BYTES: '2000',
      LEARN_POLLING: 'yes',
      STATUS_LISTEN: 'off',
      // At most one is learned and not yet disposed of when the process dies.
      ...(options.fault?.code === KILL ? { LEARN_CONCURRENCY: '1' } : {}),
      ...options.settings,
    };
    this.#fault = options.fault;
    this.#once = options.once;
    this.trainer.clock = this.clock.wall();
    const roots = [this.folder, ...(this.#elsewhere === undefined ? [] : [this.#elsewhere])];
    const onStep = (step: FsStep): void => this.#onStep(step);
    const restoreSpawn = watchSpawns(onStep);
    const restoreFs = watchFileSystem(
      (path) =>
        !this.#isQuiet &&
        (path.startsWith('/proc/self/fd/') || roots.some((root) => path.startsWith(root))),
      onStep,
    );
    this.#restore = () => {
      restoreFs();
      restoreSpawn();
    };
  }

  [Symbol.dispose](): void {
    this.#restore();
    rmSync(this.folder, { recursive: true, force: true });
    if (this.#elsewhere !== undefined) rmSync(this.#elsewhere, { recursive: true, force: true });
  }

  // --- what the test does itself

  /** Does something of the test's own, which never fails. */
  quietly<T>(act: () => T): T {
    const was = this.#isQuiet;
    this.#isQuiet = true;
    try {
      return act();
    } finally {
      this.#isQuiet = was;
    }
  }

  /** Writes a message: `at` is `spam/NAME` of the drop directory, or a place of the state dir. */
  put(place: string, body: string, mode = MARK): void {
    this.quietly(() => {
      const path = this.pathOf(place);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(path, body, 'latin1');
      chmodSync(path, mode);
    });
    // One that is empty has no name in it.
    for (const name of new Set([nameIn(body), basename(place).replace('.learnd-', '')])) {
      this.bodies.set(name, (this.bodies.get(name) ?? new Set()).add(body));
    }
  }

  pathOf(place: string): string {
    return /^(spam|ham)(\/|$)/.test(place) ? join(this.lib, place) : join(this.state, place);
  }

  /** Names in a folder, hidden ones included; none where there is no folder. */
  names(place: string): string[] {
    return this.quietly(() => {
      const path = this.pathOf(place);
      return existsSync(path) ? readdirSync(path).sort() : [];
    });
  }

  read(place: string): string | undefined {
    return this.quietly(() => {
      const path = this.pathOf(place);
      return existsSync(path) ? readFileSync(path, 'latin1') : undefined;
    });
  }

  /** What lies in these rooms, as `VERDICT/NAME`. */
  filesIn(...rooms: readonly FoundFile['room'][]): string[] {
    const files = this.quietly(() => filesOf({ lib: this.lib, stateDir: this.state }));
    return files
      .filter(({ room }) => rooms.includes(room))
      .map(({ place, name }) => `${place}/${name}`);
  }

  /** Descriptors of this process that lead into the world. */
  get descriptors(): string[] {
    return this.quietly(() =>
      readdirSync('/proc/self/fd').flatMap((fd) => {
        const target = linkOf(`/proc/self/fd/${fd}`);
        return target.startsWith(dirname(this.state)) || target.startsWith(this.lib) ? target : [];
      }),
    );
  }

  // --- the daemon

  get isRunning(): boolean {
    return this.#stop !== undefined;
  }

  start(): void {
    const stop = new AbortController();
    this.#stop = stop;
    const before = this.#violationsNow();
    const log: Log = (severity, event, message, fields = {}) => {
      if (this.#isDead) return;
      this.lines.push({ severity, event, message, fields, at: this.clock.monotonic() });
    };
    const config = this.quietly(() => loadConfig(this.#environment));
    const identity = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] };
    const ended = (end: unknown): void => {
      if (this.#isDead) {
        const violations = this.#violationsNow().filter((each) => !before.includes(each));
        this.violations.push(...violations);
      }
      this.ends.push(this.#isDead ? KILL : end);
      this.#isDead = false;
      this.endedAt = this.clock.monotonic();
      this.#stop = undefined;
    };
    const options = {
      config,
      log,
      once: this.#once,
      stop: stop.signal,
      onHangup: () => undefined,
      onCrash: () => undefined,
      identity,
      environment: {},
    };
    const { clock } = this;
    const trainersFor = (): Trainer[] => [this.#watchedTrainer()];
    const platform = { clock, random: Math.random, trainersFor };
    watch(options, platform).then(ended, ended);
  }

  stop(): void {
    this.#stop?.abort();
  }

  /**
   * Lets time flow until `isSo`, which is asked when nothing is happening. Time stands still while
   * the disk or a child is at work.
   * @returns false when `limit` (on the world's clock) was reached first
   */
  async flowUntil(isSo: () => boolean, limit = () => Infinity): Promise<boolean> {
    const deadline = performance.now() + REAL_PATIENCE_MS;
    let seen = -1;
    for (;;) {
      if (performance.now() > deadline) throw new Error('waited in vain in real time');
      const atWork = isAtWork();
      const isIdle = !atWork && seen === this.steps.length;
      seen = this.steps.length;
      if (isIdle && isSo()) return true;
      if (this.clock.monotonic() > limit()) return false;
      if (!atWork) this.clock.advance(isIdle ? IDLE_MS : BUSY_MS);
      this.#look();
      await nextTurn();
    }
  }

  /** Messages that were learned when the process died, and posted once more. */
  get repeated(): number {
    const before = this.trainer.posts.slice(0, this.#postsAtDeath);
    // One that was written anew is another one to learn, though it has its name.
    const again = this.trainer.posts
      .slice(this.#postsAtDeath)
      .filter(({ name, verdict }) => this.#known.get(name) === verdict)
      .filter(({ name, text }) => before.some((post) => post.name === name && post.text === text));
    return new Set(again.map(({ name }) => name)).size;
  }

  #watchedTrainer(): Trainer {
    const { trainer } = this;
    const learn = async (...args: Parameters<Trainer['learn']>): Promise<Outcome> => {
      const step = { call: POST, path: `learn${args[0].verdict}` };
      try {
        this.#onStep({ ...step, when: 'before' });
        const outcome = await trainer.learn(...args);
        this.#onStep({ ...step, when: 'after' });
        return outcome;
      } catch (error) {
        if (error instanceof Killed) return { kind: 'aborted' };
        throw error;
      }
    };
    return {
      filter: trainer.filter,
      name: trainer.name,
      memoryCure: trainer.memoryCure,
      longestPostMs: trainer.longestPostMs,
      learn,
      statistics: () => trainer.statistics(),
      time: () => trainer.time(),
    };
  }

  #die(): never {
    this.#isDead = true;
    this.#known = new Map(this.trainer.memory);
    this.#postsAtDeath = this.trainer.posts.length;
    process.nextTick(() => this.stop());
    throw new Killed();
  }

  #violationsNow(): string[] {
    return this.quietly(() =>
      violationsIn(filesOf({ lib: this.lib, stateDir: this.state }), ({ name, path }) =>
        [...(this.bodies.get(name) ?? [])].some((body) => body === readFileSync(path, 'latin1')),
      ),
    );
  }

  // --- the fault

  /** True from the moment at which the fault was met. */
  get wasMet(): boolean {
    return this.#injectedAt !== undefined;
  }

  /** What met the fault first, for people. */
  get target(): string {
    const { call, path } = this.#target ?? { call: 'nothing', path: '' };
    return `${call} ${path}`;
  }

  #look(): void {
    if (this.healedAt !== undefined || this.#injectedAt === undefined) return;
    const lasts = this.#fault?.lasts === true ? FAULT_MS : 0;
    if (this.clock.monotonic() >= this.#injectedAt + lasts) {
      this.healedAt = this.clock.monotonic();
    }
  }

  #onStep(raw: FsStep): void {
    if (this.#isDead) {
      // What was under way is done: who opened something has to close it.
      if (raw.when === 'after' || /close/i.test(raw.call)) return;
      throw new Killed();
    }
    const step = { ...raw, path: this.quietly(() => this.#plain(raw.path)) };
    if (step.when === 'before') this.steps.push(step);
    const fault = this.#fault;
    if (fault === undefined || this.healedAt !== undefined) return;
    const isIts = this.steps.length - 1 === fault.step && step.when === 'before';
    // Where much happens at a time, another step may come in this place than in the first run.
    if (isIts && canMeet(fault, { ...step, when: fault.when })) this.#target ??= step;
    const target = this.#target;
    if (target === undefined || step.when !== fault.when) return;
    const isMet =
      this.#injectedAt === undefined
        ? step.call === target.call && step.path === target.path
        : spreads(fault, target, step);
    if (!isMet) return;
    this.#injectedAt ??= this.clock.monotonic();
    this.injections += 1;
    if (fault.code === KILL) this.#die();
    throw systemError(fault.code, step);
  }

  /** The path below the world, descriptors resolved. */
  #plain(path: string): string {
    const match = /^\/proc\/self\/fd\/(\d+)(.*)$/.exec(path);
    const whole =
      match === null ? path : linkOf(`/proc/self/fd/${match[1] ?? ''}`) + (match[2] ?? '');
    return whole.replace(this.state, 'STATE').replace(this.lib, 'LIB');
  }
}

/** What a message's `X-Test` header says. */
export function nameIn(body: string): string {
  return /^X-Test: (.*?)\r?$/m.exec(body)?.[1] ?? '';
}

export function bodyOf(name: string, verdict: Verdict, filler = ''): string {
  return `X-Test: ${name}\r\nMessage-ID: <${name}@example.org>\r\n\r\n${name} is ${verdict}. ${filler}\r\n`;
}

/** Starting a child is a step, too; what fails about it comes as the child's error. */
function watchSpawns(hook: (step: FsStep) => void): () => void {
  const replacements = new Replacements();
  replacements.replace(childProcess, 'spawn', (original) => (...args) => {
    try {
      hook({ call: 'spawn', path: String(args[0]), when: 'before' });
    } catch (error) {
      const failed = new EventEmitter();
      process.nextTick(() => failed.emit('error', error));
      return failed;
    }
    return original(...args);
  });
  replacements.sync();
  return () => replacements.restore();
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // closed meanwhile
  }
}

export function isOperatorError(end: unknown): end is OperatorError {
  return end instanceof OperatorError;
}

const AT_WORK = new Set(['FSReqPromise', 'FSReqCallback', 'CloseReq', 'ProcessWrap']);

function isAtWork(): boolean {
  return process.getActiveResourcesInfo().some((name) => AT_WORK.has(name));
}
