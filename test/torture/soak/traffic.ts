import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KopanoWriterProcess } from '../../lab/kopano-writer-process.ts';
import { makeMessage, tooShortMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import type { Verdict } from '../../../src/verdict.ts';
import type { Chance } from '../../support/seed.ts';

/**
 * What the users do: a steady stream of verdicts, some of them changed soon after, some given
 * twice, some of messages that nothing can be learned from. Remembers what it wrote in few bytes;
 * a message is made again from its seed when it is wanted.
 */
export interface TrafficOptions {
  readonly lib: string;
  readonly writer: Pick<KopanoWriterProcess, 'write'>;
  readonly chance: Chance;
  readonly perSecond: number;
  /** Whether the machine can't keep up, and more would only pile up; asked twice a second. */
  readonly isBehind: () => boolean;
}

export interface Judged {
  readonly seed: number;
  /** The language that it is made of. */
  readonly made: Verdict;
  verdict: Verdict;
  /** How often it was written as a file of its own, which ends once each. */
  writes: number;
  readonly isShort: boolean;
}

/** Verdicts are changed or repeated among so many of the last ones. */
const RECENT = 150;
const VERDICTS = ['spam', 'ham'] as const;
/** Of a hundred verdicts. */
const FLIPS = 5;
const REPEATS = 2;
const TOO_SHORT = 1;
const SLOWLY = 3;

export class Traffic {
  readonly judged = new Map<string, Judged>();
  /** Names whose verdict was changed or given again. */
  readonly changed = new Set<string>();
  readonly errors: string[] = [];
  writes = 0;
  readonly #options: TrafficOptions;
  readonly #recent: string[] = [];
  #seed = 0;
  #isEnding = false;
  #pauses = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** Writes until `stop`. */
  async run(): Promise<void> {
    const { perSecond, isBehind } = this.#options;
    const every = 1_000 / perSecond;
    let due = performance.now();
    for (let tick = 0; !this.#isEnding; tick += 1) {
      while (tick % (perSecond / 2) === 0 && isBehind()) await sleep(500);
      due += every;
      // What was missed in a pause isn't made up for.
      due = Math.max(due, performance.now() - 10 * every);
      await sleep(Math.max(0, due - performance.now()));
      if (this.#pauses > 0) continue;
      this.#writing = this.#next();
      await this.#writing;
    }
  }

  stop(): void {
    this.#isEnding = true;
  }

  /** Nothing is written while `act` is under way. */
  async without<T>(act: () => Promise<T>): Promise<T> {
    this.#pauses += 1;
    try {
      await this.#writing;
      return await act();
    } finally {
      this.#pauses -= 1;
    }
  }

  /** Writes so many messages of the stream at once, even in a pause. */
  async write(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.#next();
  }

  /** Writes one more message, beside the stream. */
  async judge(message: MadeMessage): Promise<void> {
    this.writes += 1;
    const outcome = await this.#options.writer.write({
      verdict: message.verdict,
      name: message.name,
      body: message.raw,
    });
    if (outcome.kind !== 'written') this.errors.push(JSON.stringify(outcome));
  }

  /** The message as it was written. */
  static messageOf({ made, seed, isShort }: Judged): MadeMessage {
    return isShort ? tooShortMessage(made, seed) : makeMessage(made, seed);
  }

  async #next(): Promise<void> {
    const { chance } = this.#options;
    const kind = chance.below(100);
    if (kind < FLIPS + REPEATS) {
      const [name, judged] = this.#choose() ?? [];
      if (name !== undefined && judged !== undefined) {
        if (kind < FLIPS) judged.verdict = judged.verdict === 'spam' ? 'ham' : 'spam';
        this.changed.add(name);
        await this.#write(judged);
        return;
      }
    }
    const made = chance.pick(VERDICTS);
    const isShort = kind >= 100 - TOO_SHORT;
    this.#seed += 1;
    const judged: Judged = { seed: this.#seed, made, verdict: made, writes: 0, isShort };
    const { name } = Traffic.messageOf(judged);
    this.judged.set(name, judged);
    if (!isShort) this.#recent.push(name);
    if (this.#recent.length > RECENT) this.#recent.shift();
    await this.#write(judged, kind >= 100 - TOO_SHORT - SLOWLY);
  }

  async #write(judged: Judged, slowly = false): Promise<void> {
    const { name, raw } = Traffic.messageOf(judged);
    judged.writes += 1;
    this.writes += 1;
    const outcome = await this.#options.writer.write({
      verdict: judged.verdict,
      name,
      body: raw,
      ...(slowly ? { chunks: 3, pauseMs: 5, pauseBeforeMarkMs: 5 } : {}),
    });
    if (outcome.kind !== 'written') this.errors.push(`${name}: ${JSON.stringify(outcome)}`);
  }

  /** One whose file has left the drop directory: what is written over there would end only once. */
  #choose(): [string, Judged] | undefined {
    if (this.#recent.length === 0) return undefined;
    const name = this.#options.chance.pick(this.#recent);
    if (VERDICTS.some((verdict) => existsSync(join(this.#options.lib, verdict, name)))) {
      return undefined;
    }
    const judged = this.judged.get(name);
    return judged === undefined ? undefined : [name, judged];
  }
}
