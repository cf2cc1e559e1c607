import { mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Environment } from '../../../src/config.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { START } from '../../support/manual-clock.ts';
import { toAll } from '../../support/scripted-trainer.ts';
import type { Post } from '../../support/scripted-trainer.ts';
import { bodyOf } from './world.ts';
import type { SyscallsWorld } from './world.ts';

/** What happens to a message in its life, one way to go each. */
export interface Scenario {
  readonly name: string;
  readonly settings?: Environment;
  /** The state dir lies on another file system. */
  readonly elsewhere?: boolean;
  /** `watch --once`, as often as it says that something is left. */
  readonly once?: boolean;
  /** What lies there when the daemon starts, and what is set up. */
  readonly before: readonly Act[];
  /** What others do meanwhile, one after the other, each when its time has come. */
  readonly meanwhile?: readonly (readonly [when: Condition, ...acts: readonly Act[]])[];
  /** The last verdict of everything that is to be learned and stays. */
  readonly learned: Readonly<Record<string, Verdict>>;
  /** What ends in quarantine, as `VERDICT/NAME`. */
  readonly quarantined?: readonly string[];
  /** What else has to be so in the end. */
  readonly isOver?: Condition;
}

type Act = (world: SyscallsWorld) => void;
type Condition = (world: SyscallsWorld) => boolean;

export const TODAY = new Date(START).toISOString().slice(0, 10);
const UNMARKED = 0o600;

/**
 * Puts a message, named by the last part of the place, where its class is a part before.
 * @param place `spam/NAME` of the drop directory, or a place of the state dir
 */
function put(place: string, mode?: number, filler?: string): Act {
  const verdict = /(^|\/)spam\//.test(place) ? 'spam' : 'ham';
  const name = place.replace(/^.*\/(\.learnd-)?/, '');
  return (world) => world.put(place, bodyOf(name, verdict, filler), mode);
}

/** What the quarantine notes of a message. */
function reason(verdict: Verdict, name: string): Act {
  const text = JSON.stringify({ name, verdict, reason: 'once', attempts: 2, quarantinedAt: TODAY });
  return (world) => world.put(`quarantine/${verdict}/${name}.json`, text, UNMARKED);
}

function quietly(act: Act): Act {
  return (world) => world.quietly(() => act(world));
}

function hasLearned(name: string): Condition {
  return ({ trainer }) => trainer.memory.has(name);
}

/** It was posted so often. */
function wasPosted(name: string, times = 1): Condition {
  return ({ trainer }) => trainer.of(name).length >= times;
}

/** A first post that takes long enough for others to come in between; both its posts are known. */
function learnsSlowly(name: string): Act {
  return ({ trainer, clock }) => {
    const learn = (post: Post) => {
      if (post.name !== name || post.verdict !== 'spam') return undefined;
      return new Promise<{ kind: 'duplicate' }>((resolve) => {
        clock.after(1_000, () => {
          trainer.memory.set(name, 'spam');
          resolve({ kind: 'duplicate' });
        });
      });
    };
    trainer.plays(toAll(learn));
  };
}

/** An rspamd that can't learn what is empty. */
function rejectsEmpty({ trainer }: SyscallsWorld): void {
  trainer.plays(
    toAll(({ text }) => (text === '' ? { kind: 'rejected', reason: '400 empty' } : undefined)),
  );
}

const withdraw: Act = (world) => rmSync(world.pathOf('queue/spam/a'), { force: true });

function replaceSpam(world: SyscallsWorld): void {
  renameSync(world.pathOf('spam'), `${world.folder}/old`);
  mkdirSync(world.pathOf('spam'));
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'learned and removed',
    before: [put('spam/a'), put('ham/b')],
    meanwhile: [[hasLearned('a'), put('spam/c')]],
    learned: { a: 'spam', b: 'ham', c: 'spam' },
  },
  {
    name: 'learned and archived, the other verdict of the day removed',
    settings: { LEARN_AFTER: 'archive' },
    before: [put(`archive/ham/${TODAY}/a`), put('spam/a'), put('ham/b')],
    learned: { a: 'spam', b: 'ham' },
  },
  {
    name: 'a verdict turned while the older one waits, and while it is in flight',
    before: [put('queue/spam/a', UNMARKED), put('ham/a'), put('spam/b'), learnsSlowly('b')],
    meanwhile: [[wasPosted('b'), put('ham/b')]],
    learned: { a: 'ham', b: 'ham' },
  },
  {
    name: 'judged again, or withdrawn, while it is in flight',
    before: [put('spam/a'), learnsSlowly('a'), put('ham/b')],
    meanwhile: [
      [wasPosted('a'), put('spam/a', undefined, 'with other words')],
      [wasPosted('a', 2), quietly(withdraw)],
    ],
    learned: { b: 'ham' },
  },
  ...[false, true].map((elsewhere): Scenario => ({
    name: `twins in both class folders${elsewhere ? ', on another file system' : ''}`,
    elsewhere,
    before: [put('spam/a', UNMARKED), put('ham/a')],
    learned: { a: 'ham' },
  })),
  {
    name: 'carried over from another file system',
    elsewhere: true,
    before: [
      put('spam/.learnd-a'),
      (world) => world.put('tmp/a', 'half a copy'),
      put('ham/b'),
      put('queue/spam/c', UNMARKED),
      put('ham/c'),
      put('spam/.learnd-d'),
      put('ham/d'),
    ],
    learned: { a: 'spam', b: 'ham', c: 'ham', d: 'ham' },
  },
  {
    name: 'found in the queue after a restart',
    settings: { LEARN_AFTER: 'archive' },
    before: [
      put('queue/spam/a'),
      put('queue/ham/b', UNMARKED),
      // A restore from a backup can leave both.
      put('queue/spam/c'),
      put('queue/ham/c'),
    ],
    learned: { a: 'spam', b: 'ham', c: 'ham' },
  },
  {
    name: 'quarantined: empty for rspamd, and over-size',
    before: [
      rejectsEmpty,
      (world) => world.put('queue/ham/empty', ''),
      put('spam/large', undefined, 'x'.repeat(2_000)),
      put('spam/a'),
    ],
    learned: { a: 'spam' },
    quarantined: ['ham/empty', 'spam/large'],
  },
  {
    name: 'a newer verdict for one in quarantine',
    before: [put('quarantine/spam/a'), reason('spam', 'a'), put('ham/a')],
    learned: { a: 'ham' },
  },
  {
    name: 'released from quarantine',
    before: [put('release/spam/a'), reason('spam', 'a'), put('release/ham/b'), put('spam/b')],
    meanwhile: [[hasLearned('a'), put('release/ham/c')]],
    learned: { a: 'spam', b: 'spam', c: 'ham' },
  },
  {
    name: 'archive days that are too old',
    settings: { LEARN_AFTER: 'archive', LEARN_ARCHIVE_DAYS: '3' },
    before: [
      put('archive/spam/2026-01-01/x'),
      put('archive/ham/2026-01-02/y'),
      put('archive/ham/2026-03-13/z'),
      put('spam/a'),
    ],
    learned: { a: 'spam' },
    isOver: (world) =>
      world.names('archive/spam').concat(world.names('archive/ham')).sort().join() ===
      `2026-03-13,${TODAY}`,
  },
  {
    name: 'a class folder that is replaced',
    before: [put('spam/a')],
    meanwhile: [[hasLearned('a'), quietly(replaceSpam), put('spam/b')]],
    learned: { a: 'spam', b: 'spam' },
  },
  {
    name: 'one pass',
    once: true,
    settings: { LEARN_AFTER: 'archive' },
    before: [put('queue/spam/a'), put('ham/b'), put('release/ham/c')],
    learned: { a: 'spam', b: 'ham', c: 'ham' },
  },
];
