import { existsSync, readFileSync } from 'node:fs';
import { KopanoWriter } from '../../lab/kopano-writer.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { isOneOf, verdictOf, violationsIn } from './checks.ts';
import { KillController } from './controller.ts';
import { KillSpool, WRITER } from './spool.ts';
import type { FoundFile, KillSpoolOptions } from './spool.ts';

/**
 * One spool, one controller, and some messages whose fate is known: what was judged when, where each
 * of them must be at the end, and what must hold at any moment before.
 */

/** What becomes of a message in the end. */
export type Fate = 'learned' | 'archived' | 'quarantined' | 'withdrawn';

export interface Judgement {
  readonly message: MadeMessage;
  readonly verdict: Verdict;
}

interface Story {
  /** The latest is the last one. */
  readonly judgements: Judgement[];
  fate: Fate;
}

interface Deed {
  readonly act: () => Promise<void>;
  done: Promise<void> | undefined;
}

export class KillStage implements AsyncDisposable {
  readonly spool: KillSpool;
  readonly controller: KillController;
  readonly #writer: KopanoWriter;
  /** By the messages' names. */
  readonly #stories = new Map<string, Story>();
  readonly #deeds: Deed[] = [];

  private constructor(spool: KillSpool, controller: KillController) {
    this.spool = spool;
    this.controller = controller;
    this.#writer = new KopanoWriter({ lib: spool.lib, ...WRITER });
  }

  static async make(options: KillSpoolOptions): Promise<KillStage> {
    return new KillStage(new KillSpool(options), await KillController.start());
  }

  // --- the story

  /** A user judges a message: it is written as kopano-spamd does. */
  async judge(message: MadeMessage, verdict: Verdict = message.verdict): Promise<void> {
    this.tell(message, verdict);
    const outcome = await this.#writer.write({ verdict, name: message.name, body: message.raw });
    if (outcome.kind !== 'written') throw new Error(`the writer: ${JSON.stringify(outcome)}`);
  }

  /** A message was judged; whoever calls this sees to its file. */
  tell(message: MadeMessage, verdict: Verdict, fate: Fate = 'learned'): void {
    const story = this.#stories.get(message.name) ?? { judgements: [], fate };
    story.judgements.push({ message, verdict });
    story.fate = fate;
    this.#stories.set(message.name, story);
  }

  /** It ends otherwise than learned and removed. */
  endsAs(message: MadeMessage, fate: Fate): void {
    const story = this.#stories.get(message.name);
    if (story === undefined) throw new Error(`${message.name} was never judged`);
    story.fate = fate;
  }

  /** Acts when the message is posted first in this class, or after the daemon's death. */
  onPost(message: MadeMessage, verdict: Verdict, act: () => Promise<void> | void): void {
    const deed: Deed = { act: async () => act(), done: undefined };
    this.#deeds.push(deed);
    this.controller.onPost(message.messageId, verdict, () => {
      deed.done ??= deed.act();
      deed.done.catch(() => undefined); // it is awaited in the end
    });
  }

  /** Waits for what is being done. */
  async settle(): Promise<void> {
    for (const { done } of this.#deeds) await done;
  }

  /** Does what waited for a post that didn't come. */
  async finishDeeds(): Promise<void> {
    for (const deed of this.#deeds) await (deed.done ??= deed.act());
  }

  get hasDeedsLeft(): boolean {
    return this.#deeds.some(({ done }) => done === undefined);
  }

  // --- what must hold

  /** What is different from the end of the story; empty when it is over. */
  differences(): string[] {
    const left = new Map(this.spool.found().map((file) => [`${file.place}/${file.name}`, file]));
    const differences: string[] = [];
    for (const [name, { judgements, fate }] of this.#stories) {
      const { message, verdict } = lastOf(judgements);
      const known = this.controller.verdictOn(message.messageId);
      const isLearned = fate === 'learned' || fate === 'archived';
      if (isLearned && known !== verdict) differences.push(`${name} is known as ${known ?? '-'}`);
      const place = placeAtEnd(fate, verdict);
      if (place === undefined) continue;
      if (fate === 'quarantined' && !isReason(left.get(`${place}/${name}.json`))) {
        differences.push(`${name} has no reason`);
      }
      left.delete(`${place}/${name}.json`);
      const file = [...left.values()].find((each) => each.name === name && isIn(each, place));
      if (file !== undefined) left.delete(`${file.place}/${name}`);
      if (file === undefined) differences.push(`${place}/${name} is missing`);
      else if (!isOneOf(file, [message.raw]))
        differences.push(`${place}/${name} is not as it was judged`);
    }
    return [...differences, ...[...left.keys()].map((place) => `${place} is left over`)];
  }

  /** What must not be so at any moment. To be asked while no daemon runs. */
  violations(): string[] {
    const files = this.spool.found();
    const violations = violationsIn(files, (name) => bodiesOf(this.#stories.get(name)));
    for (const [name, { judgements, fate }] of this.#stories) {
      const { message, verdict } = lastOf(judgements);
      if (fate === 'withdrawn') continue;
      if (this.controller.verdictOn(message.messageId) === verdict) continue;
      const mine = files.filter((file) => file.name === name && file.place !== 'tmp');
      if (mine.some((file) => verdictOf(file) === verdict && isOneOf(file, [message.raw])))
        continue;
      const found = mine.map(({ place }) => place).join(' and ');
      violations.push(`${name} as ${verdict} is lost: ${found === '' ? 'nowhere' : found}`);
    }
    return violations;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool[Symbol.asyncDispose]();
    await this.controller[Symbol.asyncDispose]();
  }
}

function lastOf(judgements: readonly Judgement[]): Judgement {
  const last = judgements.at(-1);
  if (last === undefined) throw new Error('nothing was judged');
  return last;
}

function placeAtEnd(fate: Fate, verdict: Verdict): string | undefined {
  switch (fate) {
    case 'learned':
    case 'withdrawn':
      return undefined;
    case 'archived':
      return `archive/${verdict}`;
    case 'quarantined':
      return `quarantine/${verdict}`;
  }
}

/** In a place, or in a day of the archive's. */
function isIn(file: FoundFile, place: string): boolean {
  return file.place === place || file.place.startsWith(`${place}/`);
}

function bodiesOf(story: Story | undefined): readonly Buffer[] {
  return story?.judgements.map(({ message }) => message.raw) ?? [];
}

function isReason(file: FoundFile | undefined): boolean {
  if (file === undefined || !existsSync(file.path)) return false;
  return readFileSync(file.path, 'utf8').includes('"reason"');
}
