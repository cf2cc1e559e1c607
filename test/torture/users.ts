import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BaseVerdict, Verdict } from '../../src/verdict.ts';
import { VERDICTS, othersOf } from '../../src/verdict.ts';
import type { WriteOrder } from '../lab/kopano-writer.ts';
import { makeMessage, regenerated, tooShortMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import type { DaemonSpool } from '../support/daemon-spool.ts';
import type { Chance } from '../support/seed.ts';

/**
 * What users do: a steady stream of verdicts, some of them changed soon after, some given twice,
 * some of messages that nothing can be learned from. Written by kopano-spamd's double; the files
 * appear whole or piece by piece. Remembers what it wrote in few bytes: a message is made again from
 * its seed when it is wanted.
 */
export interface UsersOptions {
  readonly spool: Pick<DaemonSpool, 'lib' | 'write'>;
  readonly chance: Chance;
  readonly perSecond: number;
  /** Classes that a verdict may be changed to, beside spam and ham. @defaultValue none */
  readonly classes?: readonly Verdict[];
  /** Parts of the verdicts that change an earlier one, repeat it, or can't be learned. */
  readonly flips: number;
  readonly repeats: number;
  /** @defaultValue 0 */
  readonly tooShort?: number;
  /** Verdicts are changed or repeated among so many of the last ones. */
  readonly recent: number;
  /** Only of messages whose file has left the drop directory: each file ends once then. @defaultValue false */
  readonly onlyTaken?: boolean;
  /** Each verdict of a message brings other bytes. @defaultValue false */
  readonly regenerates?: boolean;
  /** Whether the machine can't keep up, and more would only pile up; asked twice a second. */
  readonly isBehind?: () => boolean;
}

export interface Judged {
  readonly seed: number;
  /** The language that it is made of. */
  readonly made: BaseVerdict;
  /** The last one. */
  verdict: Verdict;
  /** How often it was judged. */
  writes: number;
  readonly isShort: boolean;
  readonly isRegenerated: boolean;
}

const AT_ONCE: Partial<WriteOrder> = {};
const IN_PIECES: Partial<WriteOrder> = { chunks: 2, pauseMs: 30, pauseBeforeMarkMs: 30 };
const UNREADABLE: Partial<WriteOrder> = { createMode: 0o600, pauseBeforeMarkMs: 20 };
const PACES = [...Array.from({ length: 7 }, () => AT_ONCE), IN_PIECES, IN_PIECES, UNREADABLE];

/** The message as it was written, the last time unless another one is asked for. */
export function messageOf(judged: Judged, write = judged.writes): MadeMessage {
  const { made, seed, isShort, isRegenerated } = judged;
  const message = isShort ? tooShortMessage(made, seed) : makeMessage(made, seed);
  return isRegenerated ? regenerated(message, write) : message;
}

/** The messages that its file may hold: all of one name. */
export function versionsOf(judged: Judged): readonly MadeMessage[] {
  if (!judged.isRegenerated) return [messageOf(judged)];
  return Array.from({ length: judged.writes }, (_, index) => messageOf(judged, index + 1));
}

export class Users {
  readonly judged = new Map<string, Judged>();
  /** Names whose verdict was changed or given again. */
  readonly changed = new Set<string>();
  /** What the writer met that kopano-spamd mustn't: a file that was taken too early, an error. */
  readonly errors: string[] = [];
  writes = 0;
  readonly #options: UsersOptions;
  readonly #recent: string[] = [];
  #isEnding = false;
  #pauses = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: UsersOptions) {
    this.#options = options;
  }

  /** Writes until `stop`. */
  async run(): Promise<void> {
    const { perSecond, isBehind = () => false } = this.#options;
    const every = 1_000 / perSecond;
    let due = performance.now();
    for (let tick = 0; !this.#isEnding; tick += 1) {
      while (tick % Math.floor(perSecond / 2) === 0 && isBehind()) await sleep(500);
      // What was missed in a pause isn't made up for.
      due = Math.max(due + every, performance.now() - 10 * every);
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

  /** Writes one message. */
  async judge(
    { name, raw, verdict }: Pick<WriteOrder, 'name' | 'verdict'> & Pick<MadeMessage, 'raw'>,
    how: Partial<WriteOrder> = {},
  ): Promise<void> {
    this.writes += 1;
    const outcome = await this.#options.spool.write({ verdict, name, body: raw, ...how });
    if (outcome.kind !== 'written') {
      this.errors.push(`the writer of ${verdict}/${name}: ${JSON.stringify({ ...outcome, how })}`);
    }
  }

  async #next(): Promise<void> {
    const { chance, flips, repeats, tooShort = 0, recent, regenerates = false } = this.#options;
    const kind = chance.next();
    const earlier = kind < flips + repeats ? this.#choose() : undefined;
    if (earlier !== undefined) {
      if (kind < flips) earlier.verdict = this.#anotherThan(earlier.verdict);
      this.changed.add(messageOf(earlier).name);
      await this.#judge(earlier);
      return;
    }
    const made = chance.pick(VERDICTS);
    const isShort = kind >= 1 - tooShort;
    const judged: Judged = {
      seed: this.judged.size + 1,
      made,
      verdict: made,
      writes: 0,
      isShort,
      isRegenerated: regenerates,
    };
    const { name } = messageOf(judged);
    this.judged.set(name, judged);
    if (!isShort) this.#recent.push(name);
    if (this.#recent.length > recent) this.#recent.shift();
    await this.#judge(judged);
  }

  async #judge(judged: Judged): Promise<void> {
    judged.writes += 1;
    const { verdict } = judged;
    await this.judge({ ...messageOf(judged), verdict }, this.#options.chance.pick(PACES));
  }

  #anotherThan(verdict: Verdict): Verdict {
    const { chance, classes = [] } = this.#options;
    return chance.pick(othersOf([...VERDICTS, ...classes], verdict));
  }

  #choose(): Judged | undefined {
    const { chance, spool, onlyTaken = false } = this.#options;
    if (this.#recent.length === 0) return undefined;
    const name = chance.pick(this.#recent);
    const isThere = VERDICTS.some((verdict) => existsSync(join(spool.lib, verdict, name)));
    return onlyTaken && isThere ? undefined : this.judged.get(name);
  }
}
