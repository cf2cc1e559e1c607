import { KEYS } from './commands.ts';
import type { Command, Setup } from './commands.ts';
import { VERDICTS } from './chronicle.ts';
import { real } from './machine.ts';
import { WhatHolds } from './holds.ts';
import { World } from './world.ts';
import type { MadeUp } from './world.ts';

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
  readonly #whatHolds: WhatHolds;
  #helpers = 0;

  constructor(setup: Setup) {
    this.world = new World(setup);
    this.#whatHolds = new WhatHolds(this.world);
  }

  /** @throws what was broken, with what had happened until then */
  async go(commands: readonly Command[]): Promise<void> {
    this.world.start(0);
    await this.world.flow(50);
    for (const command of commands) {
      this.world.chronicle.trace(`-- ${JSON.stringify(command)}`);
      await this.#do(command);
      this.#whatHolds.check();
    }
    await this.#heal();
    if (this.#isDone()) this.#whatHolds.judge();
    else this.world.chronicle.violate('something is left for good');
    this.#whatHolds.check();
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
          const tenure = daemon?.session;
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

  /** Everything in it goes with it, but for what was copied into the queue already. */
  #removeFolder(verdict: 'spam' | 'ham', missingMs: number): void {
    const { world } = this;
    const path = world.dropPath(verdict);
    if (!real.existsSync(path)) return;
    for (const name of world.names(`lib/${verdict}`)) {
      const message = world.files.fileAt(`${path}/${name}`)?.message;
      if (message === undefined) continue;
      const copy = world.files.findAt(world.statePath(`queue/${verdict}/${message.key}`));
      if (typeof copy === 'object' && copy.message === message) continue;
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
    for (let round = 0; round < HEALING_MINUTES && !this.#isDone(); round += 1) {
      for (let turn = 0; turn < 30 && !this.#isDone(); turn += 1) {
        // Poison is known by what others come to. Then there must be time for a sweep.
        if (round > 0 && (turn === 0 || turn === 10)) this.#help();
        await world.flow(2_000);
        if (turn % 10 === 0) this.#whatHolds.check();
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

  #isDone(): boolean {
    const { world } = this;
    if (!world.writer.isIdle) return false;
    const left = VERDICTS.flatMap((verdict) => [
      ...world.names(`state/queue/${verdict}`),
      ...world.names(`state/release/${verdict}`),
      ...world.names(`lib/${verdict}`).filter((name) => !isEmpty(world.dropPath(verdict, name))),
    ]);
    return left.length === 0;
  }
}

function nameOf(key: number): string {
  return `${KEYS[key] ?? 'a'}.eml`;
}

function isEmpty(path: string): boolean {
  return real.lstatSync(path).size === 0;
}
