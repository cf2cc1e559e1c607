import { VERDICTS } from './chronicle.ts';
import type { Message } from './files.ts';
import { real } from './machine.ts';
import type { World } from './world.ts';

/** What holds at every moment, wherever the messages lie, and what is promised for the end. */
export class WhatHolds {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** What has to hold at every moment. */
  check(): void {
    const { chronicle } = this.#world;
    this.#checkPlaces();
    this.#checkMemory();
    if (chronicle.broken.length > 0) {
      throw new Error([...chronicle.broken, ...chronicle.lines].join('\n'));
    }
  }

  #checkPlaces(): void {
    const world = this.#world;
    const { chronicle, files } = world;
    const places = new Map<Message, string[]>();
    const inQueue = new Set<string>();
    const note = (place: string): void => {
      const found = files.findAt(`${world.root}/${place}`);
      if (typeof found === 'string') chronicle.violate(`in ${place}: ${found}`);
      if (typeof found !== 'object') return;
      const others = places.get(found.message) ?? [];
      places.set(found.message, [...others, place]);
    };
    for (const verdict of VERDICTS) {
      for (const name of world.names(`lib/${verdict}`)) note(`lib/${verdict}/${name}`);
      for (const key of world.names(`state/queue/${verdict}`)) {
        note(`state/queue/${verdict}/${key}`);
        if (inQueue.has(key)) chronicle.violate(`${key} lies in the queue twice`);
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
        chronicle.violate(`${message.name} lies in ${where.join(' and in ')}`);
      }
    }
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.fate === undefined && !places.has(message)) {
        chronicle.violate(`${message.name} is lost`);
      }
    }
    this.#checkEndings(inQueue);
  }

  /** Each message ends once. */
  #checkEndings(inQueue: ReadonlySet<string>): void {
    const world = this.#world;
    const { chronicle, laws } = world;
    const owner = world.daemons.find((each) => each?.process === chronicle.term?.process);
    if (owner?.session === undefined) return;
    for (const [id, open] of laws.open) {
      const [verdict, key = ''] = id.split('/');
      const isStaged =
        (verdict === 'spam' || verdict === 'ham') && laws.staged(verdict).includes(key);
      const isQueued = inQueue.has(key) && real.existsSync(world.statePath(`queue/${id}`));
      const expected = isStaged || isQueued ? 1 : 0;
      if (open !== expected) {
        chronicle.violate(
          `${id}: ${expected} should not have ended, by what was said it is ${open}`,
        );
      }
    }
  }

  #checkMemory(): void {
    const { daemons, setup, chronicle } = this.#world;
    for (const daemon of daemons) {
      const counts = daemon?.session?.counts;
      if (counts === undefined) continue;
      const inFlight = setup.concurrency * setup.controllers;
      const waiting = counts.deferred + counts.pending;
      if (counts.deferred > setup.backlog || waiting > 2 * setup.backlog + inFlight) {
        chronicle.violate(`in memory: ${JSON.stringify(counts)}, backlog ${setup.backlog}`);
      }
      const { stoppedUntil } = daemon?.process ?? {};
      if ((stoppedUntil ?? 0) >= this.#world.timeline.now) continue;
      for (const { what, ms } of daemon?.session?.stalls ?? []) {
        if (ms > 60_000) chronicle.violate(`${what} stands still for ${ms} ms`);
      }
    }
  }

  /** What is promised for the end. */
  judge(): void {
    const { files, chronicle } = this.#world;
    for (const message of chronicle.latest.values()) this.#judgeOne(message);
    for (const message of files.messages) {
      const isWhole = message.stretches.has(message.text.length);
      if (isWhole && message.taken === undefined && message.fate === undefined) {
        chronicle.violate(`${message.name} was never taken`);
      }
    }
  }

  #judgeOne(message: Message): void {
    this.#judgeArchive(message);
    const { chronicle, redis, files } = this.#world;
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
    chronicle.violate(`${message.name} is remembered as ${memory?.verdict ?? 'nothing'}`);
  }

  /** What is archived lies there, and its day holds no other verdict of it. */
  #judgeArchive({ name, text, archived, endedAt }: Message): void {
    const world = this.#world;
    if (archived === undefined || endedAt !== text.length) return;
    const found = world.files.findAt(world.statePath(`archive/${archived}`));
    if (typeof found !== 'object' || found.message.name !== name) {
      world.chronicle.violate(`${name} is not in the archive`);
    }
    if (world.files.findAt(world.statePath(`archive/${otherClass(archived)}`)) !== undefined) {
      world.chronicle.violate(`the archive holds two verdicts of ${name} on one day`);
    }
  }
}

function otherClass(place: string): string {
  return place.startsWith('spam/')
    ? place.replace('spam/', 'ham/')
    : place.replace('ham/', 'spam/');
}
