/**
 * One server program in a process group of its own, with everything that it forks.
 *
 * Owns the group: {@link ServerProcess.kill} ends all of it. A guardian (a shell that reads from a
 * pipe of ours) kills the group when this process ends in any way and at any moment, SIGKILL included,
 * so that no private server outlives what started it. The guardian is there first, and the server
 * tells it its number itself, before it becomes the server.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fchownSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a server may take for an orderly end before it is killed. */
const GRACE_MS = 3_000;
/** How long the kernel may take to clear away what was killed. */
const GONE_MS = 5_000;
const POLL_MS = 20;

/** What to start and where its output goes. */
export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** The server's working folder: rspamd would write a core there, Redis its data. */
  readonly cwd: string;
  /** Gets standard error, and standard output unless {@link onLine} does. */
  readonly outputFile: string;
  /** Gets each line of standard output. */
  readonly onLine?: (line: string) => void;
  /** Whom root's child becomes, without further groups. @defaultValue who this process is */
  readonly user?: ServerUser | undefined;
  /** @defaultValue our own environment */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

export class ServerProcess {
  readonly pid: number;
  /** Its exit code or signal, once the main process has ended and its last line has been heard. */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  readonly #guardian: ChildProcess;
  readonly #outputFile: string;
  /** The whole group is gone; its number may be somebody else's now. */
  #gone = false;

  private constructor(
    child: ChildProcess,
    pid: number,
    guardian: ChildProcess,
    outputFile: string,
  ) {
    this.#child = child;
    this.pid = pid;
    this.#outputFile = outputFile;
    this.#guardian = guardian;
    this.ended = once(child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
      return code ?? signal ?? 'SIGKILL';
    });
  }

  /**
   * Starts the program. An exit shows in {@link running}; one that can't be executed exits with the
   * shell's words in the output file.
   */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const { program, args, cwd, outputFile, onLine, user, environment: env } = command;
    const output = openSync(outputFile, 'a');
    try {
      // The server may open it by its name as well, as rspamd does.
      if (user !== undefined) fchownSync(output, user.uid, user.gid);
      const { guardian, pipe } = spawnGuardian();
      const child = spawn('/bin/sh', ['-c', ANNOUNCED, 'server', program, ...args], {
        cwd,
        detached: true,
        stdio: ['ignore', onLine === undefined ? output : 'pipe', output, pipe],
        ...(env !== undefined && { env }),
        ...user,
      });
      if (onLine !== undefined && child.stdout !== null) {
        createInterface({ input: child.stdout }).on('line', onLine);
      }
      await once(child, 'spawn');
      if (child.pid === undefined) throw new Error(`${program} has no process id`);
      return new ServerProcess(child, child.pid, guardian, outputFile);
    } finally {
      closeSync(output);
    }
  }

  /** Whether the main process is there (a frozen one is). */
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal to the main process; nothing happens when it is gone. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Sends a signal to the main process and all that it forked. */
  signalGroup(signal: NodeJS.Signals): void {
    try {
      if (!this.#gone) process.kill(-this.pid, signal);
    } catch {
      // the group is gone already
    }
  }

  /** SIGTERM, SIGKILL after three seconds; resolves when the whole group is gone. Idempotent. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    // a frozen process takes its SIGTERM only once it runs again
    this.signalGroup('SIGCONT');
    await this.#untilEnd(GRACE_MS);
    await this.kill();
  }

  /** SIGKILL to the whole group; resolves when it is gone. Idempotent. */
  async kill(): Promise<void> {
    this.signalGroup('SIGKILL');
    await this.#untilEnd(GONE_MS);
    const deadline = performance.now() + GONE_MS;
    while (!this.#gone && groupIsAlive(this.pid)) {
      if (performance.now() > deadline) throw new Error(`process group ${this.pid} doesn't end`);
      await sleep(POLL_MS);
    }
    this.#gone = true;
    this.#guardian.kill('SIGKILL');
  }

  /** The end of what went to the output file. */
  tailOfOutput(): string {
    return readFileSync(this.#outputFile, 'utf8').slice(-2_000);
  }

  async #untilEnd(timeoutMs: number): Promise<void> {
    await Promise.race([this.ended, sleep(timeoutMs, undefined, { ref: false })]);
  }
}

/** Tells the guardian its group, which is its own number, and becomes the server. */
const ANNOUNCED = 'echo $$ >&3; exec "$@" 3>&-';
/** Waits for the end of its standard input, which comes when nobody is left who may write there. */
const GUARDING = 'read -r group || exit 0; read -r _; kill -s KILL -- "-$group"';

function spawnGuardian() {
  const guardian = spawn('/bin/sh', ['-c', GUARDING, 'guardian'], {
    // a session of its own: Ctrl-C on the terminal must not end the guardian first
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // neither the guardian nor its pipe keeps this process from ending
  guardian.unref();
  guardian.on('error', () => undefined);
  const { stdin: pipe } = guardian;
  pipe.on('error', () => undefined);
  if (pipe instanceof Socket) pipe.unref();
  return { guardian, pipe };
}

/** Whether any process of a process group is alive. */
export function groupIsAlive(group: number): boolean {
  return processes().some((each) => each.group === group);
}

/** All processes, but for those that have ended and wait to be reaped (in a container perhaps for ever). */
export function processes() {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // the name in brackets may hold blanks and brackets; what follows comes after the last one
      const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return [];
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const commandLine = words.trim();
      return [{ pid: Number(pid), parent: Number(parent), group: Number(group), commandLine }];
    } catch {
      return []; // it has just ended
    }
  });
}
