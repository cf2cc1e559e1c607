/**
 * `npm run demo`: the whole job before the eyes of a person, in a minute at most.
 *
 * Everything is real and private: Redis, rspamd, spamd where it is installed, and the daemon itself run
 * as children on free loopback ports, in one temporary folder. However it ends, they are stopped and the
 * folder is removed; `--keep` lets them run until Ctrl-C. This file tells the story, `stage.ts` has what
 * it is played on.
 */
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, errnoOf, type ExitCode } from '../src/errors.ts';
import { DemoStage, type Fate } from './stage.ts';
import {
  makeMessage,
  makeMessages,
  unseenMessage,
  type MadeMessage,
} from '../test/lab/messages.ts';
import type { BayesOpinion } from '../src/servers/private-rspamd.ts';
import { worthInWords } from './worth.ts';
import { INSTALL_HINTS } from './install-hints.ts';
import { findProgram } from '../src/servers/programs.ts';

/** Bayes judges from 200 of each class on; a few more, for messages that rspamd recognises. */
const MESSAGES_OF_EACH_CLASS = 220;
/** SpamAssassin's part is told in short, by its own counters. */
const FOR_SPAMD = 10;
/** About as long as a person takes to drag a message, if a whole company does it. */
const WRITING_PACE_MS = 20;
const ROW_EVERY_MS = 1_000;
/** Without any progress for this long the demo has failed. */
const PATIENCE_MS = 30_000;

const SPAMD_HINT = 'Debian: sudo apt-get install spamd';

const UNSEEN = [unseenMessage('spam'), unseenMessage('ham')];

/** What the demo needs from its surroundings. */
interface DemoOptions {
  /** Ends the demo early; it still cleans up. */
  readonly signal: AbortSignal;
  /** Folders in which the servers and the daemon's helpers are looked up, as in PATH. */
  readonly searchPath: string;
  /** Takes the text that the person reads, newlines included. */
  readonly write: (text: string) => void;
  /** How the program is started, without a command. */
  readonly program: readonly [string, ...string[]];
  /** Lets everything run in the end, until the signal. */
  readonly keep: boolean;
}

/**
 * Runs the demo and resolves with its exit code: 0 when every message was learned and removed and
 * Bayes tells unseen spam from unseen ham; 1 otherwise, also when a server is not installed.
 */
export async function demo(options: DemoOptions): Promise<ExitCode> {
  const { searchPath, program, keep, signal } = options;
  const say = (line = ''): void => options.write(`${line}\n`);
  const [rspamd, redis, spamd] = ['rspamd', 'redis-server', 'spamd'].map((name) =>
    findProgram(name, searchPath),
  );
  if (rspamd === undefined || redis === undefined) {
    if (rspamd === undefined) explainMissing('rspamd', say);
    if (redis === undefined) explainMissing('redis-server', say);
    return EXIT.failure;
  }
  let folder: string;
  try {
    folder = await mkdtemp(join(resolve(tmpdir()), 'kopano-learnd-demo-'));
  } catch (error) {
    const why = `${tmpdir()} can't be used (${errnoOf(error) ?? 'unknown'})`;
    say(`The demo needs a temporary folder, and ${why}: set TMPDIR to one that can be written.`);
    return EXIT.failure;
  }
  const stageIn = (name: string): DemoStage =>
    new DemoStage({
      ...{ folder: join(folder, name), searchPath, program, signal },
      patienceMs: PATIENCE_MS,
    });
  const [stage, second] = [stageIn('rspamd'), stageIn('spamassassin')];
  try {
    for (const name of ['rspamd', 'spamassassin']) await mkdir(join(folder, name));
    // Root's spamd becomes another user, who has to get to what is its own.
    for (const name of ['', 'spamassassin']) await chmod(join(folder, name), 0o711);
    const programs = { rspamd, redis, spamd };
    return await new Story({ stage, second, programs, keep, say, signal }).tell();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say();
    say(signal.aborted ? 'Interrupted.' : `The demo failed: ${why}`);
    return EXIT.failure;
  } finally {
    await stage[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
    say('Stopped: the daemon and all servers. The temporary folder is removed.');
  }
}

function explainMissing(program: keyof typeof INSTALL_HINTS, say: (line: string) => void): void {
  say(`The demo needs ${program}, which is not on the PATH. It is installed with`);
  for (const [system, command] of Object.entries(INSTALL_HINTS[program])) {
    say(`  ${system.padEnd(8)}${command}`);
  }
}

interface StoryOptions {
  /** With rspamd. */
  readonly stage: DemoStage;
  /** With spamd. */
  readonly second: DemoStage;
  readonly programs: {
    readonly rspamd: string;
    readonly redis: string;
    /** `undefined` where it is not installed. */
    readonly spamd: string | undefined;
  };
  readonly keep: boolean;
  readonly say: (line?: string) => void;
  readonly signal: AbortSignal;
}

/** The chapters of the demo; any fault is thrown to {@link demo}, which cleans up. */
class Story {
  readonly #options: StoryOptions;
  readonly #stage: DemoStage;
  readonly #say: StoryOptions['say'];
  #page = '';

  constructor(options: StoryOptions) {
    this.#options = options;
    this.#stage = options.stage;
    this.#say = options.say;
  }

  async tell(): Promise<ExitCode> {
    await this.#start();
    await this.#showOpinions('1. Before: what Bayes says of two messages that it has never seen');
    this.#say('  Bayes is silent until it has learned 200 messages of each class.');
    const first = makeMessage('spam', 0);
    await this.#followOne(first);
    await this.#writeHundreds();
    await this.#changeOneMind(first);
    const right = await this.#showOpinions('5. After: the same two messages');
    await this.#showSpamAssassin();
    await this.#showWorth();
    return this.#conclude(right);
  }

  async #start(): Promise<void> {
    this.#say('A private Redis, a private rspamd and the real daemon, on free loopback ports:');
    const { redis, rspamd } = await this.#stage.startRspamd(this.#options.programs);
    this.#say(`  Redis    ${redis}`);
    this.#say(`  rspamd   ${rspamd}`);
    this.#page = await this.#stage.startDaemon();
    this.#say('  daemon   kopano-learnd watch');
    this.#say(`  page     ${this.#page}`);
    this.#say(`  spool    ${this.#stage.lib}`);
  }

  /** Whether Bayes is right about both messages. */
  async #showOpinions(title: string): Promise<boolean> {
    this.#chapter(title);
    let right = true;
    for (const message of UNSEEN) {
      const opinion = await this.#stage.opinion(message);
      right &&= opinion.verdict === message.verdict;
      const subject = `"${message.subject}"`.padEnd(36);
      this.#say(`  ${message.verdict.padEnd(5)} ${subject} Bayes: ${inWords(opinion)}`);
    }
    return right;
  }

  async #followOne(message: MadeMessage): Promise<void> {
    this.#chapter('2. One message on its way: somebody drags it into Junk');
    const start = performance.now();
    const line = (what: string): void => this.#say(`  ${secondsSince(start, 2)} s   ${what}`);
    await this.#stage.export(message);
    line(`kopano-spamd has written spam/${message.name}`);
    await this.#stage.untilPickedUp(message);
    line('the daemon has picked it up: it is in its queue, no longer in spam/');
    await this.#stage.untilSettled(message);
    line('rspamd has learned it and knows it when asked again');
    await this.#stage.untilGone(message);
    line('the file is removed');
  }

  async #writeHundreds(): Promise<void> {
    this.#chapter(`3. Hundreds: people sort their mail, kopano-spamd writes, the daemon learns`);
    this.#say('  seconds   written   in spam/, ham/   in the queue   learned and removed');
    const rest = MESSAGES_OF_EACH_CLASS - 1;
    const spam = makeMessages('spam', rest, 1);
    const ham = makeMessages('ham', MESSAGES_OF_EACH_CLASS, 0);
    const all = ham.flatMap((message, index) => [message, ...spam.slice(index, index + 1)]);
    const start = performance.now();
    let written = 0;
    let rows = 0;
    const row = async (): Promise<void> => {
      const { dropped, queued } = await this.#stage.waiting();
      const settled = this.#stage.fates.length - 1;
      this.#say(
        `  ${column(secondsSince(start, 0), 7)}${column(written, 10)}${column(dropped, 17)}` +
          `${column(queued, 15)}${column(settled, 22)}`,
      );
      rows += 1;
    };
    for (const message of all) {
      await this.#stage.export(message);
      written += 1;
      if (performance.now() - start > (rows + 1) * ROW_EVERY_MS) await row();
      await sleep(WRITING_PACE_MS, undefined, { signal: this.#options.signal });
    }
    await this.#stage.untilTaught(all);
    await row();
  }

  async #changeOneMind(message: MadeMessage): Promise<void> {
    this.#chapter('4. A change of mind: the first message goes back from Junk to the Inbox');
    await this.#showCounts('before');
    const start = performance.now();
    await this.#stage.teach([{ ...message, verdict: 'ham' }]);
    const seconds = secondsSince(start, 2);
    this.#say(`  kopano-spamd wrote ham/${message.name}; learned and removed in ${seconds} s`);
    await this.#showCounts('now');
  }

  /** @throws when SpamAssassin's counters are not those of what was learned */
  async #showSpamAssassin(): Promise<void> {
    const { second, programs } = this.#options;
    const { spamd } = programs;
    const title = '6. The other filter: a private SpamAssassin is taught, too';
    if (spamd === undefined) {
      this.#chapter(`${title}: left out, because there is no spamd here (${SPAMD_HINT})`);
      return;
    }
    this.#chapter(title);
    await second.startSpamd(spamd);
    await second.startDaemon();
    const spam = makeMessages('spam', FOR_SPAMD, 0);
    const all = [...spam, ...makeMessages('ham', FOR_SPAMD, 0)];
    const start = performance.now();
    await second.teach(all);
    const seconds = secondsSince(start, 1);
    this.#say(
      `  spamd has learned ${all.length} messages and knows each when asked again (${seconds} s)`,
    );
    const before = inCounts(await second.spamdCounts());
    await second.teach(spam.slice(0, 1).map((message) => ({ ...message, verdict: 'ham' })));
    const now = inCounts(await second.spamdCounts());
    this.#say(`  Bayes had ${before}; since one went back to the Inbox, ${now}`);
    if (now !== inCounts({ spam: FOR_SPAMD - 1, ham: FOR_SPAMD + 1 })) {
      throw new Error('SpamAssassin has counted otherwise');
    }
  }

  async #showWorth(): Promise<void> {
    this.#chapter('7. What it is worth: kopano-learnd evaluate, on what rspamd was taught');
    for (const line of worthInWords(await this.#stage.evaluation())) this.#say(`  ${line}`);
  }

  /** Shows where to look, until Ctrl-C. */
  async #stay(): Promise<void> {
    this.#say();
    this.#say(`Everything runs on: look at ${this.#page} and drop messages into`);
    this.#say(`${this.#stage.lib}/spam or /ham. Ctrl-C stops all and removes it.`);
    const { signal } = this.#options;
    if (!signal.aborted) await once(signal, 'abort');
    this.#say();
  }

  async #showCounts(when: string): Promise<void> {
    const { spam, ham } = await this.#stage.bayesCounts();
    this.#say(`  Bayes ${when.padEnd(7)}${column(spam, 4)} spam${column(ham, 6)} ham`);
  }

  async #conclude(right: boolean): Promise<ExitCode> {
    const { dropped, queued } = await this.#stage.waiting();
    const others = this.#stage.fates.filter((fate) => !isLearned(fate));
    this.#say();
    for (const { event, verdict, file } of others) this.#say(`  ${event} ${verdict}/${file}`);
    if (right && others.length === 0 && dropped + queued === 0) {
      this.#say('Every message was learned and removed, and Bayes knows spam from ham.');
      this.#say('Next: README.md, "Install"; then kopano-learnd doctor says whether all is well.');
      if (this.#options.keep) await this.#stay();
      else
        this.#say('The daemon has a page to look at: npm run demo -- --keep leaves all running.');
      return EXIT.done;
    }
    this.#say(`This is not right: ${dropped + queued} messages are left, or Bayes is mistaken.`);
    return EXIT.failure;
  }

  #chapter(title: string): void {
    this.#options.signal.throwIfAborted();
    this.#say();
    this.#say(title);
  }
}

function isLearned({ event }: Fate): boolean {
  return event === 'message.learned' || event === 'message.duplicate';
}

function inWords(opinion: BayesOpinion): string {
  return opinion.verdict === 'none'
    ? 'no opinion'
    : `${opinion.verdict}, ${opinion.percent} % sure`;
}

function inCounts({ spam, ham }: { readonly spam: number; readonly ham: number }): string {
  return `${spam} spam, ${ham} ham`;
}

function secondsSince(start: number, places: number): string {
  return ((performance.now() - start) / 1_000).toFixed(places);
}

function column(value: number | string, width: number): string {
  return String(value).padStart(width);
}
