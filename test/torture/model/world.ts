import { loadConfig } from '../../../src/config.ts';
import type { Config } from '../../../src/config.ts';
import { QuarantinedMessages } from '../../../src/spool/quarantined.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { secondFolder } from '../../support/run.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import type { Setup } from './commands.ts';
import { Daemon } from './daemon.ts';
import { Message, WrittenFiles } from './files.ts';
import type { Kind } from './files.ts';
import { ARCHIVE_DAYS, Chronicle, MAX_ATTEMPTS, SETTLE_MS, VERDICTS } from './chronicle.ts';
import { Laws } from './laws.ts';
import { PostLaws } from './posts.ts';
import { Machine, Process, real } from './machine.ts';
import { Redis } from './requests.ts';
import { Rspamd } from './rspamd.ts';
import { Timeline } from './time.ts';
import { Writer } from './writer.ts';

/** The whole: a spool, its writer, its daemons, and the controllers. */

const PARENT = secondFolder();

export class World {
  readonly timeline = new Timeline<Process>();
  readonly files = new WrittenFiles();
  readonly chronicle: Chronicle;
  readonly posts: PostLaws;
  readonly laws: Laws;
  readonly machine: Machine;
  readonly controllers: readonly Rspamd[];
  readonly redis = new Redis();
  readonly writer: Writer;
  readonly setup: Setup;
  readonly root: string;
  readonly daemons: (Daemon | undefined)[] = [];
  readonly #chance: Chance;
  #born = 0;

  constructor(setup: Setup) {
    this.setup = setup;
    this.#chance = chanceOf(setup.seed);
    this.root = real.mkdtempSync(`${PARENT}/learnd-model-`);
    for (const verdict of VERDICTS) real.mkdirSync(this.dropPath(verdict), { recursive: true });
    const { timeline, files } = this;
    this.chronicle = new Chronicle(timeline, (process) =>
      this.machine.holds(process, 'state/owner.lock'),
    );
    const { chronicle } = this;
    this.posts = new PostLaws({
      chronicle,
      underWay: (process) => this.controllers.flatMap((each) => each.underWay(process)),
      posts: () => this.controllers.flatMap(({ requests }) => requests),
    });
    this.laws = new Laws({ root: this.root, chronicle, files, posts: this.posts });
    this.machine = new Machine({
      timeline,
      root: this.root,
      isDivided: setup.isDivided,
      latency: () => this.#latency(setup.diskMs),
      watcher: this.laws,
    });
    this.controllers = ['http://one:11334', 'http://two:11334']
      .slice(0, setup.controllers)
      .map((name) => this.#controller(name));
    this.writer = new Writer({
      lib: `${this.root}/lib`,
      timeline,
      files,
      ring: (verdict, name) => {
        this.#ring(verdict, name);
      },
      trace: (line) => {
        this.chronicle.trace(line);
      },
    });
  }

  dropPath(verdict: Verdict, name = ''): string {
    return `${this.root}/lib/${verdict}${name === '' ? '' : '/'}${name}`;
  }

  statePath(place: string): string {
    return `${this.root}/state/${place}`;
  }

  names(place: string): string[] {
    const path = `${this.root}/${place}`;
    return real.existsSync(path) ? real.readdirSync(path) : [];
  }

  /** Makes a message up. */
  message(key: string, verdict: Verdict, what: MadeUp): Message {
    const message = new Message({ id: this.files.messages.length, key, verdict, ...what });
    this.files.add(message);
    return message;
  }

  /** Starts a daemon in a place of its own, unless one lives there. */
  start(slot: number): void {
    if (this.daemons[slot] !== undefined) return;
    this.#born += 1;
    const process = new Process(this.#born);
    const { timeline, laws, chronicle } = this;
    const daemon: Daemon = new Daemon({
      process,
      config: this.#config(),
      clock: timeline.clockOf(process),
      random: () => this.#chance.next(),
      trainers: this.controllers.map((each) => each.trainerFor(process)),
      log: (_severity, event, _text, fields = {}) => {
        if (process.isDead) return;
        chronicle.trace(`daemon ${process.id}: ${event} ${JSON.stringify(fields)}`);
        if (event === 'daemon.bug')
          chronicle.violate(`daemon ${process.id}: ${JSON.stringify(fields)}`);
        if (FINAL_RESULTS.has(event))
          laws.endedOne(String(fields['verdict']), String(fields['file']));
      },
      onOwner: () => {
        chronicle.trace(`daemon ${process.id} is the owner`);
        this.machine.aside(() => {
          laws.began(process);
        });
      },
      onFailure: (error) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        chronicle.violate(`daemon ${process.id} fell over: ${text}`);
        process.isDead = true;
      },
    });
    this.daemons[slot] = daemon;
    chronicle.trace(`daemon ${process.id} starts`);
    timeline.after(
      0,
      () => {
        daemon.start();
      },
      process,
    );
  }

  /** Ends a daemon as SIGKILL does. */
  kill(slot: number): void {
    const daemon = this.daemons[slot];
    if (daemon === undefined) return;
    this.chronicle.trace(`daemon ${daemon.process.id} is killed`);
    daemon.process.isDead = true;
    this.#bury();
  }

  /** Lets time pass. */
  async flow(ms: number): Promise<void> {
    await this.timeline.flow(ms, () => {
      this.#bury();
    });
  }

  /** Does something as a daemon does it: all at once, until nothing is left to do. */
  async as(daemon: Daemon, act: () => void): Promise<void> {
    await this.timeline.happen(daemon.process, act);
    this.#bury();
  }

  quarantined(act: (messages: QuarantinedMessages) => void): void {
    const messages = QuarantinedMessages.open(`${this.root}/state`);
    if (messages === undefined) return;
    act(messages);
    messages.close();
  }

  close(): void {
    for (const [slot] of this.daemons.entries()) this.kill(slot);
    real.rmSync(this.root, { recursive: true, force: true });
  }

  /** What the kernel does for those that died or stopped; they come again after a while. */
  #bury(): void {
    for (const [slot, daemon] of this.daemons.entries()) {
      if (daemon === undefined || !(daemon.process.isDead || daemon.isOver)) continue;
      this.machine.bury(daemon.process);
      for (const controller of this.controllers) controller.forsakenBy(daemon.process);
      if (this.chronicle.term?.process === daemon.process) this.chronicle.term = undefined;
      this.daemons[slot] = undefined;
      this.chronicle.trace(`daemon ${daemon.process.id} is gone`);
      this.timeline.after(this.setup.restartMs, () => {
        this.start(slot);
      });
    }
  }

  #ring(verdict: Verdict, name: string): void {
    const { ears } = this.setup;
    if (ears === 'deaf' || (ears === 'hard of hearing' && this.#chance.next() < 0.5)) return;
    for (const daemon of this.daemons) {
      if (daemon === undefined) continue;
      const { process } = daemon;
      this.timeline.after(
        this.#latency(5),
        () => {
          this.machine.ring(process, this.dropPath(verdict), name);
        },
        process,
      );
    }
  }

  #controller(name: string): Rspamd {
    return new Rspamd({
      name,
      redis: this.redis,
      timeline: this.timeline,
      files: this.files,
      latency: () => this.#latency(this.setup.netMs),
      coin: () => this.#chance.next() < 0.5,
      forgets: this.setup.forgets,
      forsakes: this.setup.controllers > 1,
      watcher: this.posts,
      violate: (what) => {
        this.chronicle.violate(what);
      },
    });
  }

  /** Mostly short, seldom long. */
  #latency(ms: number): number {
    const chance = this.#chance.next();
    return chance < 0.03 ? ms * 20 : chance * ms;
  }

  #config(): Config {
    const { after, backlog, concurrency, ears } = this.setup;
    const config = loadConfig({
      KOPANO_SPAMD_LIB: `${this.root}/lib`,
      LEARN_STATE_DIR: `${this.root}/state`,
      LEARN_AFTER: after,
      LEARN_ARCHIVE_DAYS: String(ARCHIVE_DAYS),
      LEARN_MAX_BYTES: '1048576',
      LEARN_SETTLE_MS: String(SETTLE_MS),
      LEARN_POLLING: ears === 'none' ? 'yes' : 'no',
      LEARN_CONCURRENCY: String(concurrency),
      LEARN_BACKLOG: String(backlog),
      LEARN_MAX_ATTEMPTS: String(MAX_ATTEMPTS),
    });
    return { ...config, rspamd: { ...config.rspamd, controllers: [] } };
  }
}

export interface MadeUp {
  readonly kind: Kind;
  readonly tokens: string;
  readonly messageId: string;
}

const FINAL_RESULTS = new Set([
  'message.learned',
  'message.duplicate',
  'message.refused',
  'message.quarantined',
  'message.superseded',
  'message.withdrawn',
]);
