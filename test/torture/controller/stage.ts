import { expect } from 'vitest';
import { FINAL_RESULTS } from '../../../src/delivery/result.ts';
import type { PrivateRspamd } from '../../../src/servers/private-rspamd.ts';
import { DaemonSpool } from '../../support/daemon-spool.ts';
import type { Daemon, Settings } from '../../lab/daemon.ts';
import { makeMessage, tooShortMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import { StatusPages } from '../../support/status-pages.ts';
import { FaultProxy } from '../proxy.ts';
import type { Contact } from '../proxy.ts';

/**
 * The stage of the controller faults: a real rspamd, the proxy before it, and the built daemon, which
 * is given fleets of messages. It knows what must hold whatever the proxy did.
 */

/** What the daemon's peak resident memory may be. */
const MOST_MB = 150;
/** A second, and what a busy machine takes beside it. */
const LONGEST_PROOF_WAIT_MS = 1_500;
const LONGEST_LINE = 4_096;
/** SHUTDOWN_SECONDS and what a busy machine takes beside it. */
const LONGEST_STOP_MS = 7_000;
/** So many messages of a fleet can be learned, one can't. */
const LEARNABLE = 12;
const ENDS = new Set(FINAL_RESULTS.map((result) => `message.${result}`));

/** Messages of all fleets differ. */
let made = 0;

/** Messages that were written together, and what there was before them. */
export interface Fleet {
  readonly messages: readonly MadeMessage[];
  /** What rspamd has nothing to learn of. */
  readonly short: MadeMessage | undefined;
  /** Where its lines begin in what the daemon prints. */
  readonly from: number;
  /** Connections that there were before. */
  readonly contacts: number;
}

interface Line {
  readonly event: string;
  readonly file: string;
  readonly charges: number;
  readonly text: string;
}

interface StageOptions {
  readonly settings?: Settings;
  /** A command that runs the daemon's, and becomes it. */
  readonly through?: readonly string[];
  /** @defaultValue one before this rspamd */
  readonly proxy?: FaultProxy;
}

export class Stage implements AsyncDisposable {
  readonly spool = new DaemonSpool();
  readonly proxy: FaultProxy;
  readonly pages: StatusPages;
  readonly #rspamd: PrivateRspamd;
  readonly #options: StageOptions;
  #daemon: Daemon | undefined;

  private constructor(
    rspamd: PrivateRspamd,
    proxy: FaultProxy,
    pages: StatusPages,
    options: StageOptions,
  ) {
    this.#rspamd = rspamd;
    this.proxy = proxy;
    this.pages = pages;
    this.#options = options;
  }

  static async start(rspamd: PrivateRspamd, options: StageOptions = {}): Promise<Stage> {
    const proxy = options.proxy ?? (await FaultProxy.start({ target: rspamd.controllerPort }));
    const stage = new Stage(rspamd, proxy, await StatusPages.atFreePort(), options);
    await stage.restart();
    return stage;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon was started');
    return this.#daemon;
  }

  /** Starts a new daemon after the last one has stopped. */
  async restart(): Promise<void> {
    const { settings, through } = this.#options;
    const all = {
      RSPAMD_URL: this.proxy.url,
      RSPAMD_TIMEOUT_SECONDS: '1',
      STATUS_LISTEN: this.pages.listen,
      ...settings,
    };
    this.#daemon = await this.spool.spawn(all, through);
    // a SIGHUP before would end it
    await this.#daemon.says('daemon.owner');
  }

  /** Writes a fleet: messages of both classes, and one that is too short to learn from. */
  launch(): Fleet {
    const messages = Array.from({ length: LEARNABLE }, () => newMessage());
    const short = tooShortMessage(made % 2 === 0 ? 'spam' : 'ham', made);
    const fleet = { ...this.#now(), messages, short };
    for (const message of [...messages.slice(1), short, ...messages.slice(0, 1)])
      this.spool.put(message);
    return fleet;
  }

  /** Writes a single message. */
  send(): Fleet {
    const message = newMessage();
    const fleet = { ...this.#now(), messages: [message], short: undefined };
    this.spool.put(message);
    return fleet;
  }

  /** Has one message learned and proven: the controller is up then, and has a witness. */
  async warmUp(): Promise<void> {
    await this.untilEnded(this.send());
  }

  /** All of it has ended; retries are hurried, no backoff is sat through. */
  async untilEnded(fleet: Fleet): Promise<void> {
    await this.hurry('learn all', () => this.spool.waiting.length === 0);
    // the last line comes after its file has gone
    const count = allOf(fleet).length;
    await this.daemon.until('say how all ended', () => this.endsOf(fleet).length >= count);
  }

  /** Says SIGHUP whenever no post is under way, until that is so. */
  hurry(what: string, isSo: () => boolean): Promise<void> {
    return this.daemon.hurry(what, isSo, () => this.proxy.open === 0);
  }

  /** Waits until the controller is paused and nothing is on its way, or all has ended. */
  async untilPaused(fleet: Fleet): Promise<void> {
    // Where posts last and nothing is proven, each message probes once before there is a pause.
    await this.daemon.until('pause or end', () => {
      if (this.endsOf(fleet).length >= allOf(fleet).length) return true;
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

  /** Hurries the paused controller's probes until so many have come in, or nothing waits. */
  async probe(count: number): Promise<void> {
    const first = this.proxy.contacts.length;
    // A connection on which nothing was read may be a question, such as that of /stat, unless harm
    // was done to it; where rspamd itself hangs, the /ping before a post is never answered.
    const isProbe = ({ request, isIntruded, said }: Contact): boolean =>
      request === undefined
        ? isIntruded
        : request.method !== 'GET' || (request.path === '/ping' && said === '');
    await this.hurry(
      'probe',
      () =>
        this.spool.waiting.length === 0 ||
        this.proxy.contacts.slice(first).filter(isProbe).length >= count,
    );
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
    const said = this.endsOf(fleet).map(({ file, event }) => `${file} ${event}`);
    const known = new Set(said.filter((line) => line.endsWith(' message.duplicate')));
    const ends = fleet.messages.map(({ name }) => {
      const duplicate = `${name} message.duplicate`;
      return known.has(duplicate) ? duplicate : `${name} message.learned`;
    });
    if (fleet.short !== undefined) ends.push(`${fleet.short.name} message.refused`);
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
    const charged = this.#linesOf(fleet).filter(({ charges }) => charges > 0);
    expect(charged).toEqual([]);
  }

  /** No storm of lines: two a message (it waits, it has ended), and so many about the controller. */
  expectFewLines(fleet: Fleet, about: number): void {
    const lines = this.#linesFrom(fleet.from).map(({ text }) => text);
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(LONGEST_LINE);
    const most = 2 * allOf(fleet).length + about;
    expect(lines.length, lines.join('\n')).toBeLessThanOrEqual(most);
  }

  /** The Message-IDs of those that wait in the queue. */
  waitingOf(fleet: Fleet): ReadonlySet<string> {
    const names = new Set([...this.spool.names('drop'), ...this.spool.names('queue')]);
    const waiting = allOf(fleet).filter(({ name }) => names.has(name));
    return new Set(waiting.map(({ messageId }) => messageId));
  }

  /** How its messages ended, as the log says. */
  endsOf(fleet: Fleet): Line[] {
    return this.#linesOf(fleet).filter(({ event }) => ENDS.has(event));
  }

  #linesOf(fleet: Fleet): Line[] {
    const names = new Set(allOf(fleet).map(({ name }) => name));
    return this.#linesFrom(fleet.from).filter(({ file }) => names.has(file));
  }

  #linesFrom(offset: number): Line[] {
    const texts = this.daemon.stdout.slice(offset).split('\n').slice(0, -1);
    return texts.map((text) => {
      const { event, file, charges } = JSON.parse(text) as Record<string, unknown>;
      return { event: String(event), file: String(file), charges: Number(charges ?? 0), text };
    });
  }

  #now(): Pick<Fleet, 'from' | 'contacts'> {
    return { from: this.daemon.stdout.length, contacts: this.proxy.contacts.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool[Symbol.asyncDispose]();
    await this.proxy[Symbol.asyncDispose]();
  }
}

function allOf({ messages, short }: Fleet): readonly MadeMessage[] {
  return short === undefined ? messages : [...messages, short];
}

function newMessage(): MadeMessage {
  made += 1;
  return makeMessage(made % 2 === 0 ? 'spam' : 'ham', 10_000 + made);
}
