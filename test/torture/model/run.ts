import { VERDICTS, takesPrecedence } from '../../../src/verdict.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { KEYS } from './commands.ts';
import type { Command, Setup } from './commands.ts';
import type { MadeUp, Message } from './files.ts';
import { real } from './machine.ts';
import type { Redis } from './rspamd.ts';
import { World } from './world.ts';

/**
 * Two messages that rspamd never recognises can make its controller look unproven in turns, until
 * their waits drift apart: that took half an hour.
 */
const HEALING_MINUTES = 120;

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
      this.world.chronicle.trace(`-- ${JSON.stringify(command)}`);
      await this.#do(command);
      this.#check();
    }
    await this.#heal();
    if (this.#isDone()) this.#judge();
    else this.world.chronicle.violate('something is left for good');
    this.#check();
  }

  async #do(command: Command): Promise<void> {
    const { world } = this;
    const daemon = 'slot' in command ? world.daemons[command.slot] : undefined;
    switch (command.do) {
      case 'write': {
        const { key, verdict, ...order } = command;
        world.writer.write({ message: world.files.make(verdict, this.#madeUp(key)), ...order });
        await world.flow(0);
        return;
      }
      case 'tick':
        await world.flow(command.ms);
        return;
      case 'kill':
        if (command.steps === 0) world.kill(command.slot);
        else if (daemon) daemon.process.diesAt = daemon.process.steps + command.steps;
        return;
      case 'stop':
        if (daemon === undefined) return;
        await world.as(daemon, () => daemon.stopping.abort());
        return;
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
      case 'freeze':
        if (daemon) daemon.process.stoppedUntil = world.timeline.now + command.ms;
        return;
      case 'release':
        world.release();
        return;
      case 'disk':
        world.machine.fault = { ...command, until: world.timeline.now + command.ms, met: 0 };
        return;
      case 'replace':
        world.replace(command.what);
        return;
      case 'hangup':
        for (const each of world.daemons) {
          if (each !== undefined) await world.as(each, each.hangUp);
        }
    }
  }

  #madeUp(key: number): MadeUp {
    const { kinds, common } = this.world.setup;
    const isLast = key === KEYS.length - 1;
    const other = nameOf(key - 1);
    const own = nameOf(key);
    return {
      key: own,
      kind: kinds[key] ?? 'normal',
      messageId: isLast && (common === 'id' || common === 'both') ? other : own,
      tokens: `the words of ${isLast && (common === 'body' || common === 'both') ? other : own}`,
    };
  }

  /** Everything is mended, and time flows until nothing is left to do. */
  async #heal(): Promise<void> {
    const { world } = this;
    world.chronicle.trace('-- everything heals');
    for (const controller of world.controllers) controller.mode = 'up';
    for (const daemon of world.daemons) {
      if (daemon === undefined) continue;
      daemon.process.diesAt = Infinity;
      daemon.process.stoppedUntil = 0;
    }
    world.timeline.wallError = 0;
    world.machine.fault = undefined;
    for (let round = 0; round < HEALING_MINUTES && !this.#isDone(); round += 1) {
      for (let turn = 0; turn < 30 && !this.#isDone(); turn += 1) {
        // Poison is known by what others come to. Then there must be time for a sweep.
        if (round > 0 && (turn === 0 || turn === 10)) this.#help();
        await world.flow(2_000);
        if (turn % 10 === 0) this.#check();
      }
    }
  }

  #help(): void {
    const { files, writer } = this.world;
    this.#helpers += 1;
    const key = `helper-${this.#helpers}`;
    const message = files.make(this.#helpers % 2 === 0 ? 'spam' : 'ham', {
      key,
      kind: 'normal',
      tokens: `the words of ${key}`,
      messageId: key,
    });
    writer.write({ message, pieces: 1, pauses: [], steps: 99, skew: 0 });
  }

  #isDone(): boolean {
    const { world } = this;
    if (!world.writer.isIdle) return false;
    return VERDICTS.every((verdict) => {
      const left = world
        .names(`lib/${verdict}`)
        .filter((name) => real.lstatSync(`${world.root}/lib/${verdict}/${name}`).size > 0);
      const places = [`state/queue/${verdict}`, `state/release/${verdict}`];
      return left.length === 0 && places.every((place) => world.names(place).length === 0);
    });
  }

  // --- what holds at every moment

  #check(): void {
    const { chronicle } = this.world;
    this.#checkPlaces();
    if (chronicle.broken.length > 0) {
      throw new Error([...chronicle.broken, ...chronicle.lines].join('\n'));
    }
  }

  /** Every message is somewhere, whole, and in one place. */
  #checkPlaces(): void {
    const { world } = this;
    const { chronicle, files } = world;
    const places = new Map<Message, string[]>();
    for (const verdict of VERDICTS) {
      for (const folder of ['lib', 'state/queue', 'state/quarantine', 'state/release']) {
        for (const name of world.names(`${folder}/${verdict}`)) {
          if (name.endsWith('.json')) continue;
          const place = `${folder}/${verdict}/${name}`;
          const found = files.findAt(`${world.root}/${place}`);
          if (typeof found === 'string') chronicle.violate(`in ${place}: ${found}`);
          if (typeof found !== 'object') continue;
          places.set(found.message, [...(places.get(found.message) ?? []), place]);
        }
      }
    }
    const [spam, ham] = VERDICTS.map((verdict) => world.names(`state/queue/${verdict}`));
    for (const key of spam ?? []) {
      if (ham?.includes(key) === true) chronicle.violate(`${key} lies in the queue twice`);
    }
    for (const [message, where] of places) {
      const isCopied = where.length === 2 && where.some((place) => place.includes('/.learnd-'));
      if (where.length > 1 && !isCopied) {
        chronicle.violate(`${message.name} lies in ${where.join(' and in ')}`);
      }
    }
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.fate === undefined && !places.has(message)) {
        chronicle.violate(`${message.name} is lost`);
      }
    }
  }

  // --- what is promised for the end

  #judge(): void {
    const { files, chronicle, laws } = this.world;
    for (const message of laws.latest.values()) {
      const memory = this.#misremembered(message);
      if (memory !== undefined) {
        chronicle.violate(`${message.name} is remembered as ${memory}`);
      }
    }
    this.#judgeArchive();
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.taken === undefined && message.fate === undefined) {
        chronicle.violate(`${message.name} was never taken`);
      }
    }
  }

  /** What `relearn` would take of a key: never what a later verdict has overturned. */
  #judgeArchive(): void {
    const { world } = this;
    const picks = new Map<string, { verdict: Verdict; day: string; mtimeNs: bigint }>();
    for (const verdict of VERDICTS) {
      const folder = `state/archive/${verdict}`;
      for (const day of world.names(folder)) {
        for (const key of world.names(`${folder}/${day}`)) {
          const path = `${world.root}/${folder}/${day}/${key}`;
          const { mtimeNs } = real.lstatSync(path, { bigint: true });
          const best = picks.get(key);
          const isLater =
            best === undefined ||
            day > best.day ||
            (day === best.day && takesPrecedence(verdict, mtimeNs, best.verdict, best.mtimeNs));
          if (isLater) picks.set(key, { verdict, day, mtimeNs });
        }
      }
    }
    for (const { key, verdict, fate = '' } of world.laws.latest.values()) {
      const pick = picks.get(key)?.verdict ?? verdict;
      if (pick !== verdict && ['removed', 'archived'].includes(fate)) {
        world.chronicle.violate(`the archive has ${key} as ${pick}, and it was judged ${verdict}`);
      }
    }
  }

  #misremembered(message: Message): string | undefined {
    const { redis, spamassassin, setup } = this.world;
    const memories = setup.filters === 2 ? [redis, spamassassin] : [redis];
    return memories
      .map((memory) => this.#misrememberedBy(memory, message))
      .find((each) => each !== undefined);
  }

  #misrememberedBy(redis: Redis, message: Message): string | undefined {
    const { files } = this.world;
    if (message.kind !== 'normal' && message.kind !== 'amnesiac') return undefined;
    if (message.fate === 'let go unproven') return undefined;
    // Half a message, whose writer stopped for longer than it takes to settle.
    if ((message.endedAt ?? 0) < message.text.length) return undefined;
    const memory = redis.get(message.tokens)?.verdict;
    if (memory === message.verdict) return undefined;
    // Between two keys with one text there is no order.
    const isRivals = files.messages.some(
      ({ key, tokens, verdict, taken }) =>
        key !== message.key &&
        tokens === message.tokens &&
        verdict === memory &&
        taken !== undefined,
    );
    return isRivals ? undefined : (memory ?? 'nothing');
  }
}

function nameOf(key: number): string {
  return `${KEYS[key] ?? 'a'}.eml`;
}
