import { setTimeout as sleep } from 'node:timers/promises';
import { KopanoWriterProcess } from '../../lab/kopano-writer-process.ts';
import type { WriteOrder } from '../../lab/kopano-writer.ts';
import { makeMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { writerProgram } from '../../support/run.ts';
import { isRoot } from '../../support/temporary.ts';
import type { Chance } from '../../support/seed.ts';
import { WRITER } from './spool.ts';

/**
 * Users who judge messages and change their minds: 25 times a second a new message is written, or
 * an earlier one once more, in the other class or in the same, at any time after the last. Written
 * by kopano-spamd's double under a user of its own; the files appear whole or piece by piece.
 */
export interface Judged {
  readonly message: MadeMessage;
  /** The last one. */
  verdict: Verdict;
  /** How often it was judged. */
  times: number;
}

export interface UsersOptions {
  readonly lib: string;
  readonly chance: Chance;
}

interface Regret {
  readonly at: number;
  readonly judged: Judged;
  readonly verdict: Verdict;
}

const WRITES_PER_SECOND = 25;
/** Parts of the judgements that are followed by another one. */
const TURNED = 0.2;
const EXPORTED_AGAIN = 0.04;
const LONGEST_REGRET_MS = 1_500;

const VERDICTS = ['spam', 'ham'] as const;
const AT_ONCE: Partial<WriteOrder> = {};
const IN_PIECES: Partial<WriteOrder> = { chunks: 2, pauseMs: 30, pauseBeforeMarkMs: 30 };
const UNREADABLE: Partial<WriteOrder> = { createMode: 0o600, pauseBeforeMarkMs: 20 };
const PACES = [
  AT_ONCE,
  AT_ONCE,
  AT_ONCE,
  AT_ONCE,
  AT_ONCE,
  AT_ONCE,
  IN_PIECES,
  IN_PIECES,
  UNREADABLE,
];

export class KillUsers implements AsyncDisposable {
  readonly judged = new Map<string, Judged>();
  /** What the writer met that kopano-spamd mustn't: a file that was taken too early, an error. */
  readonly faults: string[] = [];
  readonly #options: UsersOptions;
  readonly #writer: KopanoWriterProcess;
  readonly #regrets: Regret[] = [];
  #judgements = 0;
  #isRetiring = false;

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#writer = new KopanoWriterProcess({
      script: writerProgram(),
      lib: options.lib,
      ...(isRoot ? WRITER : {}),
    });
  }

  get judgements(): number {
    return this.#judgements;
  }

  /** Judges until {@link retire}; resolves when the last regret is written. */
  async judge(): Promise<void> {
    const { chance } = this.#options;
    const start = performance.now();
    for (let i = 0; !this.#isRetiring || this.#regrets.length > 0; i += 1) {
      await sleep(Math.max(0, start + (i * 1000) / WRITES_PER_SECOND - performance.now()));
      const due = this.#regrets.findIndex(({ at }) => at <= performance.now());
      const [regret] = due === -1 ? [] : this.#regrets.splice(due, 1);
      if (regret !== undefined) await this.#write(regret.judged, regret.verdict);
      else if (!this.#isRetiring) {
        const verdict = chance.pick(VERDICTS);
        await this.#write({ message: makeMessage(verdict, i), verdict, times: 0 }, verdict);
      }
    }
  }

  /** No new message from now on, and no new regret. */
  retire(): void {
    this.#isRetiring = true;
  }

  async #write(judged: Judged, verdict: Verdict): Promise<void> {
    const { name, raw } = judged.message;
    judged.verdict = verdict;
    judged.times += 1;
    this.judged.set(name, judged);
    this.#judgements += 1;
    const pace = this.#options.chance.pick(PACES);
    const outcome = await this.#writer.write({ verdict, name, body: raw, ...pace });
    if (outcome.kind !== 'written') {
      this.faults.push(`the writer of ${verdict}/${name}: ${JSON.stringify({ ...outcome, pace })}`);
    }
    if (!this.#isRetiring) this.#regret(judged);
  }

  #regret(judged: Judged): void {
    const { chance } = this.#options;
    const dice = chance.next();
    if (dice >= TURNED + EXPORTED_AGAIN) return;
    const { verdict } = judged;
    const at = performance.now() + chance.below(LONGEST_REGRET_MS);
    const turned = verdict === 'spam' ? 'ham' : 'spam';
    this.#regrets.push({ at, judged, verdict: dice < TURNED ? turned : verdict });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}
