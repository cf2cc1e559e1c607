import type { Verdict } from '../../../src/verdict.ts';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { FaultServer } from '../../faults/fault-server.ts';
import type { Act } from '../../faults/fault-server.ts';
import { alreadyLearned, learns, plays } from '../../faults/plays.ts';
import type { Daemon } from '../../lab/daemon.ts';
import { DaemonSpool, QUICK } from '../../support/daemon-spool.ts';
import { SMALL_HEAP, secondFolder } from '../../support/run.ts';
import { runCli } from '../../support/run-cli.ts';
import type { Result } from '../../support/run-cli.ts';
import {
  canMount,
  hasOtherFileSystem,
  isRoot,
  mountTmpfs,
  temporaryFolder,
} from '../../support/temporary.ts';
import { MARKER, certified, certify } from './messages.ts';
import type { Certified } from './messages.ts';
import { preload } from '../preload.ts';

/**
 * A drop directory that belongs to an adversary, with another uid where the tests run as root; files
 * outside of it that nobody may ever send; the built daemon; and a controller that keeps account of
 * what it was sent.
 *
 * All of it lies in memory where that is possible: a disk that is busy with something else would
 * look like an event loop that is blocked.
 */

/** The adversary's user and group: numbers that no real user has. */
const ADVERSARY = { uid: 23_461, gid: 23_462 };

export interface HostileOptions {
  /** The state dir lies on another file system than the drop directory. */
  readonly elsewhere?: boolean;
  /** The controller knows every message already: one post each. */
  readonly knowing?: boolean;
}

interface Post extends Certified {
  readonly verdict: Verdict;
}

export class HostileWorld extends DaemonSpool {
  /** A folder of messages that aren't this daemon's to learn. */
  readonly outside = join(this.folder, 'outside');
  /** The adversary's own folder, on the file system of the drop directory. */
  readonly den = join(this.folder, 'den');
  readonly controller: Controller;

  private constructor(controller: Controller, stateDir: string | undefined) {
    super({
      parent: hasOtherFileSystem ? secondFolder() : tmpdir(),
      stateDir,
      ...(isRoot && { owner: ADVERSARY }),
      settings: { ...QUICK, RSPAMD_URL: controller.url },
    });
    this.controller = controller;
    chmodSync(this.folder, 0o755);
    for (const place of [this.den, this.outside]) mkdirSync(place);
    give(this.den);
    for (let i = 0; i < 20; i += 1) {
      const message = certify({ name: `secret ${i}`, version: 0 });
      writeFileSync(this.secret(i), `Subject: ${MARKER}\r\n${message.toString()}`);
      // Anybody may link what he may write, whatever the kernel protects.
      chmodSync(this.secret(i), 0o666);
    }
  }

  static async make({
    elsewhere = false,
    knowing = false,
  }: HostileOptions = {}): Promise<HostileWorld> {
    const controller = await Controller.start(knowing);
    const another = canMount ? 'state' : temporaryFolder(tmpdir());
    const world = new HostileWorld(controller, elsewhere ? another : undefined);
    onTestFinished(() => world[Symbol.asyncDispose]());
    if (elsewhere && canMount) mountTmpfs(world.stateDir, 'size=512m,mode=0700');
    if (elsewhere) chmodSync(world.stateDir, 0o700);
    // Before it is unmounted.
    onTestFinished(() => world.kill());
    return world;
  }

  path(verdict: Verdict, name = ''): string {
    return join(this.lib, verdict, name);
  }

  secret(number = 0): string {
    return join(this.outside, `secret-${number}.eml`);
  }

  /** Writes a finished message into a class folder. @returns the name that it certifies */
  drop(verdict: Verdict, name: string | Buffer, version = 1, size?: number): string {
    const bytes = typeof name === 'string' ? Buffer.from(name) : name;
    const certifiedName = bytes.toString('latin1');
    const path = Buffer.concat([Buffer.from(`${this.path(verdict)}/`), bytes]);
    writeFileSync(path, certify({ name: certifiedName, version }, size));
    chmodSync(path, 0o660);
    return certifiedName;
  }

  /** Starts the built program, with a look at its event loop. */
  watch(): Promise<Daemon> {
    const NODE_OPTIONS = preload('hostile/monitor.ts').join(' ');
    return this.spawn({ NODE_OPTIONS, HOSTILE_BLOCKS: this.#blocks }, [], SMALL_HEAP);
  }

  /** Runs another command of the program on this spool. */
  run(...args: string[]): Promise<Result> {
    return runCli(args, this.environment());
  }

  /** Lets one of the adversary's attacks happen. @returns its own account of it */
  async attack<T>(name: string, order: object): Promise<T> {
    const { lib, den, outside } = this;
    return (await runAttack(name, { lib, den, outside, ...order })) as T;
  }

  /** The longest block of the daemon's event loop so far, in milliseconds that it computed. */
  get longestBlock(): number {
    return Number(readFileSync(this.#blocks, 'utf8'));
  }

  /** Names in a class folder, dotted ones included. */
  dropped(verdict: Verdict): string[] {
    return readdirSync(this.path(verdict));
  }

  /** Whatever lies there, messages or not. */
  get queued(): string[] {
    return this.#inState('queue');
  }

  /** Nothing is to be waited for any more: the queue is empty, or a secret is out. */
  get isOver(): boolean {
    return this.queued.length === 0 || this.controller.strangers.length > 0;
  }

  override get quarantined(): string[] {
    return this.#inState('quarantine').filter((name) => !name.endsWith('.json'));
  }

  #inState(place: 'queue' | 'quarantine'): string[] {
    return this.verdicts.flatMap((verdict) => {
      const folder = join(this.stateDir, place, verdict);
      return existsSync(folder) ? readdirSync(folder) : [];
    });
  }

  get #blocks(): string {
    return join(this.folder, 'blocks.json');
  }
}

/** Gives a file or folder to the adversary. */
export function give(path: string): void {
  if (isRoot) chownSync(path, ADVERSARY.uid, ADVERSARY.gid);
}

/** Lets `adversary.ts` attack, in a process of the adversary's. @returns its own account of it */
function runAttack(name: string, order: object): Promise<unknown> {
  const args = [...preload('hostile/adversary.ts'), '-e', '', '--', name, JSON.stringify(order)];
  const child = spawn(process.execPath, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(isRoot && ADVERSARY),
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(out));
      else reject(new Error(`the attack '${name}' ended with ${code ?? 'a signal'}: ${out}`));
    });
  });
}

/**
 * A controller that takes everything, as rspamd does, and keeps account of it: which message, in
 * what order, and what was none.
 */
class Controller {
  readonly posts: Post[] = [];
  /** Beginnings of posts that are no whole message of the drop directory. */
  readonly strangers: string[] = [];
  readonly #server: FaultServer;

  private constructor(server: FaultServer, knowing: boolean) {
    this.#server = server;
    const rspamd = plays();
    server.play = (request): Act => {
      if (!learns(request)) return rspamd(request);
      server.requests.length = 0; // a long run sends gigabytes
      const verdict = request.path.endsWith('spam') ? 'spam' : 'ham';
      this.#note(verdict, request.body);
      return knowing ? alreadyLearned('any', verdict) : rspamd(request);
    };
  }

  static async start(knowing: boolean): Promise<Controller> {
    const server = await FaultServer.start({ play: plays() });
    onTestFinished(() => server[Symbol.asyncDispose]());
    return new Controller(server, knowing);
  }

  get url(): string {
    return this.#server.url;
  }

  /** How often each message was posted in this version. */
  counts(version: number): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const post of this.posts) {
      if (post.version === version) counts.set(post.name, (counts.get(post.name) ?? 0) + 1);
    }
    return counts;
  }

  #note(verdict: Verdict, body: Buffer): void {
    const what = certified(body);
    if (what === undefined || body.includes(MARKER)) {
      this.strangers.push(`${body.length} bytes: ${body.toString('latin1', 0, 200)}`);
    } else this.posts.push({ ...what, verdict });
  }
}

const LONGEST_LINE = 4_096;
/** To load what is needed at the first message takes up to 95 ms; a hundred thousand entries in one turn more than this. */
const LONGEST_BLOCK_MS = 250;
/** 75 MB at rest, 95 at most; a machine that is faster makes more garbage before it is collected. */
const MOST_MEMORY_MB = 125;
// Controls but tab and line feed, what reorders or hides text, and what was no UTF-8.
const UNFIT =
  // eslint-disable-next-line no-control-regex -- control characters are what this looks for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd]/u;

/** A text that may stand in a log or on a terminal. */
export function expectClean(text: string): void {
  const lines = text.split('\n');
  expect(lines.find((line) => UNFIT.test(line))).toBeUndefined();
  expect(lines.find((line) => Buffer.byteLength(line) >= LONGEST_LINE)).toBeUndefined();
}

/** What must hold whatever the adversary does. */
export function expectUnharmed(world: HostileWorld, daemon: Daemon): void {
  expect(world.controller.strangers).toEqual([]);
  expect(daemon.running).toBe(true);
  expect(daemon.stderr).toBe('');
  expectClean(daemon.output);
  const block = world.longestBlock;
  const { peakMb } = daemon;
  process.stdout.write(`longest block ${block.toFixed()} ms, peak RSS ${peakMb.toFixed()} MB\n`);
  expect(block).toBeLessThan(LONGEST_BLOCK_MS);
  expect(peakMb).toBeLessThan(MOST_MEMORY_MB);
}
