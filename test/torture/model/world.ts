import { loadConfig } from '../../../src/config.ts';
import type { Config } from '../../../src/config.ts';
import { watch } from '../../../src/daemon/watch.ts';
import type { Platform, WatchOptions } from '../../../src/daemon/watch.ts';
import { QuarantinedMessages } from '../../../src/spool/quarantined.ts';
import { FILTERS } from '../../../src/filter.ts';
import { VERDICTS } from '../../../src/verdict.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { secondFolder } from '../../support/run.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { Chronicle } from './chronicle.ts';
import type { Setup } from './commands.ts';
import { WrittenFiles } from './files.ts';
import { ARCHIVE_DAYS, Laws } from './laws.ts';
import { Machine, Process, real } from './machine.ts';
import { MAX_ATTEMPTS, PostLaws } from './posts.ts';
import { Rspamd } from './rspamd.ts';
import type { Redis } from './rspamd.ts';
import { Timeline } from './time.ts';
import { Writer } from './writer.ts';

/** The whole: a spool, its writer, its daemons, and the controllers. */

const URLS = ['http://one.example:11334', 'http://two.example:11334'];

/** One life of the program. */
interface Daemon {
  readonly process: Process;
  readonly stopping: AbortController;
  /** What SIGHUP does. */
  hangUp: () => void;
  /** It has stopped, and its process has ended. */
  isOver: boolean;
}

export class World {
  readonly timeline = new Timeline<Process>();
  readonly files = new WrittenFiles();
  readonly chronicle: Chronicle;
  readonly laws: Laws;
  readonly machine: Machine;
  readonly controllers: readonly Rspamd[];
  readonly redis: Redis = new Map();
  readonly spamassassin: Redis = new Map();
  readonly writer: Writer;
  readonly setup: Setup;
  readonly root: string;
  readonly daemons: (Daemon | undefined)[] = [];
  readonly #chance: Chance;
  #born = 0;

  constructor(setup: Setup) {
    this.setup = setup;
    this.#chance = chanceOf(setup.seed);
    this.root = real.mkdtempSync(`${secondFolder()}/learnd-model-`);
    for (const verdict of VERDICTS) {
      real.mkdirSync(`${this.root}/lib/${verdict}`, { recursive: true });
    }
    const { timeline, files, root } = this;
    const chronicle = new Chronicle(timeline, (process) => this.machine.owns(process));
    this.chronicle = chronicle;
    const posts = new PostLaws({
      chronicle,
      filters: FILTERS.slice(0, setup.filters),
      underWay: (process) => this.controllers.flatMap((each) => each.underWay(process)),
      posts: () => this.controllers.flatMap(({ requests }) => requests),
    });
    this.laws = new Laws({ root, chronicle, files, posts });
    this.machine = new Machine({
      timeline,
      root,
      isDivided: setup.isDivided,
      latency: () => this.#latency(setup.diskMs),
      watcher: this.laws,
    });
    const rspamds = URLS.slice(0, setup.controllers).map((name) => ({
      filter: 'rspamd' as const,
      name,
      redis: this.redis,
      forsakes: setup.controllers > 1,
    }));
    const spamd = {
      filter: 'spamassassin' as const,
      name: 'spamd://three.example:783',
      redis: this.spamassassin,
      forsakes: false,
    };
    this.controllers = [...rspamds, ...(setup.filters === 2 ? [spamd] : [])].map(
      (each) =>
        new Rspamd({
          ...each,
          timeline,
          files,
          latency: () => this.#latency(setup.netMs),
          coin: () => this.#chance.next() < 0.5,
          forgets: setup.forgets,
          watcher: posts,
          violate: chronicle.violate.bind(chronicle),
        }),
    );
    this.writer = new Writer({
      lib: `${root}/lib`,
      timeline,
      files,
      ring: this.#ring.bind(this),
      trace: chronicle.trace.bind(chronicle),
    });
  }

  /** What a daemon in the model runs on: the model's time, chance and controllers. */
  #platform(): Platform {
    const { timeline } = this;
    return {
      clock: {
        monotonic: () => timeline.now,
        wall: () => timeline.wall,
        after: (ms, callback) => timeline.after(ms, callback, this.machine.running),
      },
      random: () => this.#chance.next(),
      trainersFor: () => {
        const { running } = this.machine;
        if (running === undefined) throw new Error('no daemon is running');
        return this.controllers.map((controller) => controller.trainerFor(running));
      },
    };
  }

  names(place: string): string[] {
    const path = `${this.root}/${place}`;
    return real.existsSync(path) ? real.readdirSync(path) : [];
  }

  /** Starts a daemon in a place of its own, unless one lives there. */
  start(slot: number): void {
    if (this.daemons[slot] !== undefined) return;
    this.#born += 1;
    const daemon: Daemon = {
      process: new Process(this.#born),
      stopping: new AbortController(),
      hangUp: () => undefined,
      isOver: false,
    };
    this.daemons[slot] = daemon;
    this.chronicle.trace(`daemon ${this.#born} starts`);
    this.timeline.after(0, () => void this.#live(daemon), daemon.process);
  }

  async #live(daemon: Daemon): Promise<void> {
    const { process: own } = daemon;
    const { chronicle } = this;
    try {
      const options: WatchOptions = {
        config: this.#config(),
        log: (_severity, event, _text, fields = {}) => {
          if (own.isDead) return;
          const line = `daemon ${own.id}: ${event} ${JSON.stringify(fields)}`;
          chronicle.trace(line);
          if (event === 'daemon.bug') chronicle.violate(line);
        },
        once: false,
        stop: daemon.stopping.signal,
        onHangup: (callback) => {
          daemon.hangUp = callback;
        },
        onCrash: () => undefined,
        identity: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] },
        environment: {},
      };
      await watch(options, this.#platform());
      daemon.isOver = true;
    } catch (error) {
      if (own.isDead) return;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      chronicle.violate(`daemon ${own.id} fell over: ${text}`);
      own.isDead = true;
    }
  }

  /** Ends a daemon as SIGKILL does. */
  kill(slot: number): void {
    const daemon = this.daemons[slot];
    if (daemon === undefined) return;
    this.chronicle.trace(`daemon ${daemon.process.id} is killed`);
    daemon.process.isDead = true;
    this.#bury();
  }

  /** A folder is made anew, with what was in it. */
  replace(what: string): void {
    const path = `${this.root}/${what}`;
    if (!real.existsSync(path)) return;
    const mode = real.statSync(path).mode & 0o7777;
    real.renameSync(path, `${this.root}/old`);
    real.mkdirSync(path);
    real.chmodSync(path, mode);
    for (const name of real.readdirSync(`${this.root}/old`)) {
      real.renameSync(`${this.root}/old/${name}`, `${path}/${name}`);
      const file = this.files.fileAt(`${path}/${name}`);
      if (file !== undefined) this.chronicle.lostSight(file);
    }
    real.rmdirSync(`${this.root}/old`);
  }

  /** Lets time pass. */
  async flow(ms: number): Promise<void> {
    await this.timeline.flow(ms, () => this.#bury());
  }

  /** Does something as a daemon does it: all at once, until nothing is left to do. */
  async as(daemon: Daemon, act: () => void): Promise<void> {
    await this.timeline.happen(daemon.process, act);
    this.#bury();
  }

  /** An operator releases what is in quarantine. */
  release(): void {
    using messages = QuarantinedMessages.open(`${this.root}/state`);
    if (messages === undefined) return;
    for (const message of [...messages.list()]) {
      this.laws.released(message.key);
      messages.release(message);
    }
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
      this.timeline.after(this.setup.restartMs, () => this.start(slot));
    }
  }

  #ring(verdict: Verdict, name: string): void {
    const { ears } = this.setup;
    if (ears === 'deaf' || (ears === 'hard of hearing' && this.#chance.next() < 0.5)) return;
    for (const daemon of this.daemons) {
      if (daemon === undefined) continue;
      const { process } = daemon;
      const ring = (): void => this.machine.ring(process, `${this.root}/lib/${verdict}`, name);
      this.timeline.after(this.#latency(5), ring, process);
    }
  }

  /** Mostly short, seldom long. */
  #latency(ms: number): number {
    const chance = this.#chance.next();
    return chance < 0.03 ? ms * 20 : chance * ms;
  }

  #config(): Config {
    const { after, backlog, concurrency, ears, controllers } = this.setup;
    return loadConfig({
      KOPANO_SPAMD_LIB: `${this.root}/lib`,
      LEARN_STATE_DIR: `${this.root}/state`,
      LEARN_AFTER: after === 'mixed' ? (this.#chance.next() < 0.5 ? 'remove' : 'archive') : after,
      LEARN_ARCHIVE_DAYS: String(ARCHIVE_DAYS),
      LEARN_MAX_BYTES: '1048576',
      LEARN_SETTLE_MS: '2000',
      LEARN_POLLING: ears === 'none' ? 'yes' : 'no',
      LEARN_CONCURRENCY: String(concurrency),
      LEARN_BACKLOG: String(backlog),
      LEARN_MAX_ATTEMPTS: String(MAX_ATTEMPTS),
      RSPAMD_URL: URLS.slice(0, controllers).join(),
      STATUS_LISTEN: 'off',
      LEARN_TRAINERS: FILTERS.slice(0, this.setup.filters).join(),
    });
  }
}
