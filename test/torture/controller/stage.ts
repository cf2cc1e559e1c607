import { once } from 'node:events';
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { makeMessage, tooShortMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import { freePort } from '../../../src/servers/ports.ts';
import type { PrivateRspamd } from '../../../src/servers/private-rspamd.ts';
import { Spool } from '../../faults/child-daemon.ts';
import type { ChildDaemon, Settings } from '../../faults/child-daemon.ts';
import { FaultProxy } from './proxy.ts';
import type { Contact } from './proxy.ts';

/**
 * The stage of the controller faults: a real rspamd, the proxy before it, and the built daemon, which
 * is given fleets of messages. It knows what must hold whatever the proxy did.
 */

/** The daemon's own limit, and so what a post takes that hangs. */
export const TIMEOUT_SECONDS = 1;

const SETTINGS: Settings = {
  RSPAMD_TIMEOUT_SECONDS: String(TIMEOUT_SECONDS),
};

/** What the issue allows the daemon's peak resident memory to be. */
const MOST_MB = 150;
/** For what no event tells, on a busy machine. */
const PATIENCE_MS = 120_000;
/** A second, and what a busy machine takes beside it. */
const LONGEST_PROOF_WAIT_MS = 1_500;
/** Between two SIGHUPs. */
const HURRY_MS = 30;
const LONGEST_LINE = 4_096;
/** SHUTDOWN_SECONDS and what a busy machine takes beside it. */
const LONGEST_STOP_MS = 7_000;
/** So many messages of a fleet can be learned, one can't. */
const LEARNABLE = 12;

/** Messages of all fleets differ. */
let made = 0;

export class Stage implements AsyncDisposable {
  readonly spool = new Spool();
  readonly proxy: FaultProxy;
  readonly #rspamd: PrivateRspamd;
  readonly #settings: Settings;
  readonly #statusPort: number;
  readonly #through: readonly string[];
  #daemon: ChildDaemon;

  private constructor(
    rspamd: PrivateRspamd,
    proxy: FaultProxy,
    statusPort: number,
    settings: Settings,
    through: readonly string[],
  ) {
    this.#rspamd = rspamd;
    this.proxy = proxy;
    this.#statusPort = statusPort;
    this.#settings = {
      ...SETTINGS,
      RSPAMD_URL: proxy.url,
      STATUS_LISTEN: `127.0.0.1:${statusPort}`,
      ...settings,
    };
    this.#through = through;
    this.#daemon = this.#start();
  }

  /** @param through see {@link Spool.start} */
  static async start(
    rspamd: PrivateRspamd,
    settings: Settings = {},
    through: readonly string[] = [],
  ): Promise<Stage> {
    const proxy = await FaultProxy.start({ target: rspamd.controllerPort });
    const stage = new Stage(rspamd, proxy, await freePort(), settings, through);
    // a SIGHUP before would end it
    await stage.daemon.says('daemon.owner');
    return stage;
  }

  get daemon(): ChildDaemon {
    return this.#daemon;
  }

  /** Starts a new daemon after the last one has stopped. */
  async restart(): Promise<void> {
    this.#daemon = this.#start();
    await this.#daemon.says('daemon.owner');
  }

  /** Writes a fleet: messages of both classes, and one that is too short to learn from. */
  launch(learnable = LEARNABLE): Fleet {
    const messages = Array.from({ length: learnable }, () => newMessage());
    const short = tooShortMessage(made % 2 === 0 ? 'spam' : 'ham', made);
    const fleet = { ...this.#now(), messages, short };
    for (const message of [...messages.slice(1), short, ...messages.slice(0, 1)])
      this.drop(message);
    return fleet;
  }

  /** Has one message learned and proven: the controller is up then. */
  async warmUp(): Promise<void> {
    await this.untilEnded(this.send());
  }

  /** Writes a single message. */
  send(): Fleet {
    const message = newMessage();
    const fleet = { ...this.#now(), messages: [message], short: undefined };
    this.drop(message);
    return fleet;
  }

  /** All of it has ended; retries are hurried, no backoff is sat through. */
  async untilEnded(fleet: Fleet): Promise<void> {
    await this.hurry('learn all', () => this.spool.waiting.length === 0);
    // the last line comes after its file has gone
    const count = namesOf(fleet).length;
    await this.daemon.until('say how all ended', () => this.endsOf(fleet).length >= count);
  }

  /** Says SIGHUP whenever no post is under way, until that is so. */
  async hurry(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!isSo()) {
      if (!this.daemon.running || performance.now() > deadline) {
        throw new Error(`the daemon did not ${what}:\n${this.daemon.output.slice(-3_000)}`);
      }
      if (this.proxy.open === 0) this.daemon.signal('SIGHUP');
      await sleep(HURRY_MS);
    }
  }

  /** Has the daemon tell how it is, for which it asks its controller in turn. */
  async look(): Promise<void> {
    const page = await fetch(`http://127.0.0.1:${this.#statusPort}/status`);
    expect(page.status).toBe(200);
    await page.arrayBuffer();
  }

  /** Whether it is alive and turning; it asks nobody. */
  async isHealthy(): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.#statusPort}/healthz`)).ok;
  }

  /** Waits until the controller is paused and nothing is on its way, or all has ended. */
  async untilPaused(fleet: Fleet): Promise<void> {
    await this.daemon.until('pause or end', () => {
      if (this.endsOf(fleet).length >= namesOf(fleet).length) return true;
      // an earlier message may have met the fault before the fleet was launched
      const state = this.#linesFrom(0).findLast(({ event }) => event.startsWith('controller.'));
      if (state === undefined || state.event === 'controller.up') return false;
      return this.proxy.open === 0 && !this.#isProving(fleet);
    });
  }

  /** What was answered 200 lately is posted again after a pause. */
  #isProving({ contacts }: Fleet): boolean {
    const since = performance.now() - LONGEST_PROOF_WAIT_MS;
    return this.proxy.contacts
      .slice(contacts)
      .some(({ said, overAt = 0 }) => said.startsWith('HTTP/1.1 200') && overAt > since);
  }

  /** SIGTERM: whatever hangs, it ends in time and well. */
  async stop(): Promise<void> {
    const { peakMb } = this.daemon;
    const since = performance.now();
    expect(await this.daemon.stop()).toBe(0);
    expect(performance.now() - since).toBeLessThan(LONGEST_STOP_MS);
    expect(peakMb).toBeLessThan(MOST_MB);
  }

  // --- what must hold

  /** All are learned, by what rspamd says itself, and nothing else happened to them. */
  async expectLearned(fleet: Fleet, quarantined: readonly string[] = []): Promise<void> {
    const { daemon, spool } = this;
    const known = new Set(
      this.endsOf(fleet)
        .filter(({ event }) => event === 'message.duplicate')
        .map(({ file }) => file),
    );
    const ends = fleet.messages.map(
      ({ name }) => `${name} ${known.has(name) ? 'message.duplicate' : 'message.learned'}`,
    );
    if (fleet.short !== undefined) ends.push(`${fleet.short.name} message.refused`);
    const said = this.endsOf(fleet).map(({ file, event }) => `${file} ${event}`);
    expect(said.sort()).toEqual(ends.sort());
    expect(spool.waiting).toEqual([]);
    expect(spool.quarantined.sort()).toEqual([...quarantined].sort());
    const forgotten: string[] = [];
    for (const { verdict, name, raw } of fleet.messages) {
      const bulk = { 'Learn-Type': 'bulk' };
      const { status } = await this.#rspamd.post(`/learn${verdict}`, raw, bulk);
      if (status !== 208) forgotten.push(`${name}: ${status}`);
    }
    expect(forgotten).toEqual([]);
    expect(daemon.stderr).toBe('');
    expect(daemon.peakMb).toBeLessThan(MOST_MB);
  }

  /** Nobody was charged with a failure. */
  expectNobodyCharged(fleet: Fleet): void {
    const names = new Set(namesOf(fleet));
    const charged = this.linesOf(fleet).filter((line) => line.charges > 0 && names.has(line.file));
    expect(charged).toEqual([]);
  }

  /** No storm of lines: two a message (it waits, it has ended), and so many about the controller. */
  expectFewLines(fleet: Fleet, about: number): void {
    const lines = this.linesOf(fleet).map(({ text }) => text);
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(LONGEST_LINE);
    const most = 2 * namesOf(fleet).length + about;
    expect(lines.length, lines.join('\n')).toBeLessThanOrEqual(most);
  }

  /** The Message-IDs of those that wait in the queue. */
  waitingOf(fleet: Fleet): ReadonlySet<string> {
    const names = new Set(this.spool.waiting);
    const waiting = allOf(fleet).filter(({ name }) => names.has(name));
    return new Set(waiting.map(({ messageId }) => messageId));
  }

  /** What the log says since the fleet was launched. */
  linesOf(fleet: Fleet): Line[] {
    return this.#linesFrom(fleet.from);
  }

  #linesFrom(offset: number): Line[] {
    const texts = this.daemon.output.slice(offset).split('\n').slice(0, -1);
    return texts.map((text) => {
      const { event, file, charges } = JSON.parse(text) as Record<string, unknown>;
      return { event: String(event), file: String(file), charges: Number(charges ?? 0), text };
    });
  }

  /** How its messages ended, as the log says. */
  endsOf(fleet: Fleet): Line[] {
    const names = new Set(namesOf(fleet));
    return this.linesOf(fleet).filter(
      ({ event, file }) => FINAL_RESULTS.has(event) && names.has(file),
    );
  }

  #now(): Pick<Fleet, 'from' | 'contacts'> {
    return { from: this.#daemon.output.length, contacts: this.proxy.contacts.length };
  }

  /** Puts a message there at once, finished: a writer that is interrupted is another suite's. */
  drop({ verdict, name, raw }: MadeMessage): void {
    const path = join(this.spool.folder, name);
    writeFileSync(path, raw);
    chmodSync(path, 0o660);
    renameSync(path, join(this.spool.lib, verdict, name));
  }

  #start(): ChildDaemon {
    return this.spool.start(this.#settings, ['watch'], this.#through);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.spool[Symbol.asyncDispose]().then(() => this.proxy[Symbol.asyncDispose]());
  }
}

export interface Fleet {
  readonly messages: readonly MadeMessage[];
  /** What rspamd has nothing to learn of. */
  readonly short: MadeMessage | undefined;
  /** Where its lines begin in what the daemon prints. */
  readonly from: number;
  /** Connections that there were before. */
  readonly contacts: number;
}

function allOf({ messages, short }: Fleet): readonly MadeMessage[] {
  return short === undefined ? messages : [...messages, short];
}

function namesOf(fleet: Fleet): string[] {
  return allOf(fleet).map(({ name }) => name);
}

export interface Line {
  readonly event: string;
  readonly file: string;
  readonly charges: number;
  readonly text: string;
}

const FINAL_RESULTS = new Set([
  'message.learned',
  'message.duplicate',
  'message.refused',
  'message.quarantined',
  'message.withdrawn',
  'message.superseded',
]);

function newMessage(): MadeMessage {
  made += 1;
  return makeMessage(made % 2 === 0 ? 'spam' : 'ham', 10_000 + made);
}

/** The Message-ID of what was posted. */
export function idOf({ request }: Contact): string | undefined {
  return /^Message-ID: <(.*)>\r?$/m.exec(request?.body.toString('latin1') ?? '')?.[1];
}

/** Another host, which no byte must ever reach. */
export class Elsewhere implements AsyncDisposable {
  readonly url: string;
  connections = 0;
  readonly #server;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.2:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => {
      this.connections += 1;
      socket.destroy();
    });
  }

  static async start(): Promise<Elsewhere> {
    const server = createServer();
    server.listen(0, '127.0.0.2');
    await once(server, 'listening');
    return new Elsewhere(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
