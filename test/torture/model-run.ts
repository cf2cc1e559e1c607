import { KEYS } from './model-commands.ts';
import type { Command, Setup } from './model-commands.ts';
import type { Message } from './model-files.ts';
import { VERDICTS } from './model-laws.ts';
import { real } from './model-machine.ts';
import { World } from './model-world.ts';
import type { MadeUp } from './model-world.ts';

/**
 * One run: the commands one after the other, the laws after each of them, and in the end, when
 * everything has healed and enough time has flowed, what is promised.
 */
export class Run {
  readonly world: World;
  #helpers = 0;

  constructor(setup: Setup) {
    this.world = new World(setup);
  }

  /** @throws what was broken, with what had happened until then */
  async go(commands: readonly Command[]): Promise<void> {
    this.world.start(0);
    await this.world.flow(50);
    for (const command of commands) {
      this.world.laws.trace(`-- ${JSON.stringify(command)}`);
      await this.#do(command);
      this.#check();
    }
    await this.#heal();
    this.#judge();
    this.#check();
  }

  async #do(command: Command): Promise<void> {
    const { world } = this;
    switch (command.do) {
      case 'write': {
        const { key, verdict, ...order } = command;
        const message = world.message(nameOf(key), verdict, this.#madeUp(key));
        world.writer.write({ message, ...order });
        await world.flow(0);
        return;
      }
      case 'tick':
        await world.flow(command.ms);
        return;
      case 'kill': {
        const process = world.daemons[command.slot]?.process;
        if (command.steps === 0) world.kill(command.slot);
        else if (process !== undefined) process.diesAt = process.steps + command.steps;
        return;
      }
      case 'stop': {
        const daemon = world.daemons[command.slot];
        if (daemon === undefined) return;
        await world.as(daemon, () => {
          daemon.stop();
        });
        return;
      }
      case 'second':
        world.start(1);
        return;
      case 'controller': {
        const controller = world.controllers[command.which % world.controllers.length];
        if (controller !== undefined) controller.mode = command.mode;
        return;
      }
      case 'wall':
        world.timeline.wallError += command.ms;
        return;
      case 'freeze': {
        const process = world.daemons[command.slot]?.process;
        if (process !== undefined) process.stoppedUntil = world.timeline.now + command.ms;
        return;
      }
      case 'touch':
        world.writer.touch(command.verdict, nameOf(command.key), command.skew);
        return;
      case 'release':
        world.quarantined((messages) => {
          for (const message of [...messages.list()]) {
            world.laws.released(message.key);
            messages.release(message);
          }
        });
        return;
      case 'drop':
        world.quarantined((messages) => {
          for (const message of [...messages.list()]) {
            const found = world.files.findAt(
              world.statePath(`quarantine/${message.verdict}/${message.key}`),
            );
            if (typeof found === 'object') found.message.fate = 'dropped by the operator';
            messages.drop(message);
          }
        });
        return;
      case 'folder':
        this.#removeFolder(command.verdict, command.missingMs);
        return;
      case 'hangup':
        for (const daemon of world.daemons) {
          const tenure = daemon?.tenure;
          if (daemon === undefined || tenure === undefined) continue;
          await world.as(daemon, () => {
            tenure.retryNow();
          });
        }
    }
  }

  #madeUp(key: number): MadeUp {
    const { kinds, common } = this.world.setup;
    const kind = kinds[key] ?? 'normal';
    const isLast = key === KEYS.length - 1;
    const other = nameOf(key - 1);
    const own = nameOf(key);
    return {
      kind,
      messageId: isLast && (common === 'id' || common === 'both') ? other : own,
      tokens: `the words of ${isLast && (common === 'body' || common === 'both') ? other : own}`,
    };
  }

  /** Everything in it goes with it. */
  #removeFolder(verdict: 'spam' | 'ham', missingMs: number): void {
    const { world } = this;
    const path = world.dropPath(verdict);
    if (!real.existsSync(path)) return;
    for (const name of world.names(`lib/${verdict}`)) {
      const message = world.files.fileAt(`${path}/${name}`)?.message;
      if (message === undefined) continue;
      message.fate ??= 'removed with its folder';
      if (name.startsWith('.learnd-')) world.laws.endedOne(verdict, message.key);
    }
    real.rmSync(path, { recursive: true });
    const make = (): void => {
      real.mkdirSync(path, { recursive: true });
    };
    if (missingMs === 0) make();
    else world.timeline.after(missingMs, make);
  }

  /** What has to hold at every moment. */
  #check(): void {
    const { laws } = this.world;
    this.#checkPlaces();
    this.#checkMemory();
    if (laws.broken.length > 0) {
      throw new Error([...laws.broken, ...laws.lines].join('\n'));
    }
  }

  #checkPlaces(): void {
    const { world } = this;
    const { laws, files } = world;
    const places = new Map<Message, string[]>();
    const inQueue = new Set<string>();
    const note = (place: string): void => {
      const found = files.findAt(`${world.root}/${place}`);
      if (typeof found === 'string') laws.violate(`in ${place}: ${found}`);
      if (typeof found !== 'object') return;
      const others = places.get(found.message) ?? [];
      places.set(found.message, [...others, place]);
    };
    for (const verdict of VERDICTS) {
      for (const name of world.names(`lib/${verdict}`)) note(`lib/${verdict}/${name}`);
      for (const key of world.names(`state/queue/${verdict}`)) {
        note(`state/queue/${verdict}/${key}`);
        if (inQueue.has(key)) laws.violate(`${key} lies in the queue twice`);
        inQueue.add(key);
      }
      for (const folder of ['quarantine', 'release']) {
        for (const key of world.names(`state/${folder}/${verdict}`)) {
          if (!key.endsWith('.json')) note(`state/${folder}/${verdict}/${key}`);
        }
      }
    }
    for (const [message, where] of places) {
      const isCopied = where.length === 2 && where.some((place) => place.includes('/.learnd-'));
      if (where.length > 1 && !isCopied) {
        laws.violate(`${message.name} lies in ${where.join(' and in ')}`);
      }
    }
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.fate === undefined && !places.has(message)) {
        laws.violate(`${message.name} is lost`);
      }
    }
    this.#checkEndings(inQueue);
  }

  /** Each message ends once. */
  #checkEndings(inQueue: ReadonlySet<string>): void {
    const { world } = this;
    const { laws } = world;
    const owner = world.daemons.find((each) => each?.process === laws.term?.process);
    if (owner?.tenure === undefined) return;
    for (const [id, open] of laws.open) {
      const [verdict, key = ''] = id.split('/');
      const isStaged =
        (verdict === 'spam' || verdict === 'ham') && laws.staged(verdict).includes(key);
      const isQueued = inQueue.has(key) && real.existsSync(world.statePath(`queue/${id}`));
      const expected = isStaged || isQueued ? 1 : 0;
      if (open !== expected) {
        laws.violate(`${id}: ${expected} should not have ended, by what was said it is ${open}`);
      }
    }
  }

  #checkMemory(): void {
    const { daemons, setup, laws } = this.world;
    for (const daemon of daemons) {
      const counts = daemon?.tenure?.counts;
      if (counts === undefined) continue;
      const inFlight = setup.concurrency * setup.controllers;
      const waiting = counts.deferred + counts.pending;
      if (counts.deferred > setup.backlog || waiting > 2 * setup.backlog + inFlight) {
        laws.violate(`in memory: ${JSON.stringify(counts)}, backlog ${setup.backlog}`);
      }
      const { stoppedUntil } = daemon?.process ?? {};
      if ((stoppedUntil ?? 0) >= this.world.timeline.now) continue;
      for (const { what, ms } of daemon?.tenure?.standstills ?? []) {
        if (ms > 60_000) laws.violate(`${what} stands still for ${ms} ms`);
      }
    }
  }

  /** Everything is mended, and time flows until nothing is left to do. */
  async #heal(): Promise<void> {
    const { world } = this;
    world.laws.trace('-- everything heals');
    for (const controller of world.controllers) controller.mode = 'up';
    for (const daemon of world.daemons) {
      if (daemon === undefined) continue;
      daemon.process.diesAt = Infinity;
      daemon.process.stoppedUntil = 0;
    }
    world.timeline.wallError = 0;
    for (let round = 0; round < 40 && !this.#isDone; round += 1) {
      // Poison is known by what others come to.
      if (round > 0) this.#help();
      for (let turn = 0; turn < 30 && !this.#isDone; turn += 1) {
        await world.flow(2_000);
        if (turn % 10 === 0) this.#check();
      }
    }
  }

  #help(): void {
    const { world } = this;
    this.#helpers += 1;
    const name = `helper-${this.#helpers}`;
    const message = world.message(name, this.#helpers % 2 === 0 ? 'spam' : 'ham', {
      kind: 'normal',
      tokens: `the words of ${name}`,
      messageId: name,
    });
    world.writer.write({ message, pieces: 1, pauses: [], steps: 99, skew: 0 });
  }

  get #isDone(): boolean {
    const { world } = this;
    if (!world.writer.isIdle) return false;
    const left = VERDICTS.flatMap((verdict) => [
      ...world.names(`state/queue/${verdict}`),
      ...world.names(`state/release/${verdict}`),
      ...world
        .names(`lib/${verdict}`)
        .filter((name) => !this.#isEmpty(`${world.dropPath(verdict, name)}`)),
    ]);
    return left.length === 0;
  }

  #isEmpty(path: string): boolean {
    return real.lstatSync(path).size === 0;
  }

  /** What is promised. */
  #judge(): void {
    const { world } = this;
    const { laws, files } = world;
    if (!this.#isDone) {
      laws.violate('something is left for good');
      return;
    }
    for (const message of laws.latest.values()) this.#judgeOne(message);
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.taken === undefined && message.fate === undefined) {
        laws.violate(`${message.name} was never taken`);
      }
    }
  }

  #judgeOne(message: Message): void {
    this.#judgeArchive(message);
    const { laws, redis, files } = this.world;
    if (message.kind !== 'normal' && message.kind !== 'amnesiac') return;
    if (message.fate === 'let go unproven' || message.fate === 'dropped by the operator') return;
    // Half a message, whose writer stopped for longer than it takes to settle.
    if ((message.endedAt ?? 0) < message.text.length) return;
    const memory = redis.messages.get(message.tokens);
    if (memory?.verdict === message.verdict) return;
    // Between two keys with one text there is no order.
    const isRivals = files.messages.some(
      ({ key, tokens, verdict, taken }) =>
        key !== message.key &&
        tokens === message.tokens &&
        verdict === memory?.verdict &&
        taken !== undefined,
    );
    if (isRivals) return;
    laws.violate(`${message.name} is remembered as ${memory?.verdict ?? 'nothing'}`);
  }

  /** What is archived lies there, and its day holds no other verdict of it. */
  #judgeArchive({ name, text, archived, endedAt }: Message): void {
    const { world } = this;
    if (archived === undefined || endedAt !== text.length) return;
    const found = world.files.findAt(world.statePath(`archive/${archived}`));
    if (typeof found !== 'object' || found.message.name !== name) {
      world.laws.violate(`${name} is not in the archive`);
    }
    if (world.files.findAt(world.statePath(`archive/${otherClass(archived)}`)) !== undefined) {
      world.laws.violate(`the archive holds two verdicts of ${name} on one day`);
    }
  }
}

function otherClass(place: string): string {
  return place.startsWith('spam/')
    ? place.replace('spam/', 'ham/')
    : place.replace('ham/', 'spam/');
}

function nameOf(key: number): string {
  return `${KEYS[key] ?? 'a'}.eml`;
}
