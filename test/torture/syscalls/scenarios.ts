import { mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Environment } from '../../../src/config.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { START } from '../../support/manual-clock.ts';
import { toAll } from '../../support/scripted-trainer.ts';
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
  /** What lies there when the daemon starts. */
  readonly before: (world: SyscallsWorld) => void;
  /** What others do meanwhile, one after the other, each when its time has come. */
  readonly meanwhile?: readonly Act[];
  /** The last verdict of everything that is to be learned and stays. */
  readonly learned: Readonly<Record<string, Verdict>>;
  /** What ends in quarantine, as `VERDICT/NAME`. */
  readonly quarantined?: readonly string[];
  /** What else has to be so in the end. */
  readonly isOver?: (world: SyscallsWorld) => boolean;
}

interface Act {
  readonly when: (world: SyscallsWorld) => boolean;
  readonly act: (world: SyscallsWorld) => void;
}

export const TODAY = new Date(START).toISOString().slice(0, 10);
const UNMARKED = 0o600;

function drop(world: SyscallsWorld, verdict: Verdict, name: string, mode?: number): void {
  world.put(`${verdict}/${name}`, bodyOf(name, verdict), mode);
}

function enqueue(world: SyscallsWorld, verdict: Verdict, name: string, mode?: number): void {
  world.put(`queue/${verdict}/${name}`, bodyOf(name, verdict), mode);
}

function hasLearned(name: string): (world: SyscallsWorld) => boolean {
  return ({ trainer }) => trainer.memory.has(name);
}

/** A first post that takes long enough for others to come in between; both its posts are known. */
function learnSlowly(world: SyscallsWorld, name: string): void {
  world.trainer.plays(
    toAll((post) => {
      if (post.name !== name || post.verdict !== 'spam') return undefined;
      return new Promise((resolve) => {
        world.clock.after(1_000, () => {
          world.trainer.memory.set(name, 'spam');
          resolve({ kind: 'duplicate' });
        });
      });
    }),
  );
}

function reason(world: SyscallsWorld, verdict: Verdict, name: string): void {
  const text = JSON.stringify({ name, verdict, reason: 'once', attempts: 2, quarantinedAt: TODAY });
  world.put(`quarantine/${verdict}/${name}.json`, text, UNMARKED);
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'learned and removed',
    before: (world) => {
      drop(world, 'spam', 'a');
      drop(world, 'ham', 'b');
    },
    meanwhile: [
      {
        when: hasLearned('a'),
        act: (world) => drop(world, 'spam', 'c'),
      },
    ],
    learned: { a: 'spam', b: 'ham', c: 'spam' },
  },
  {
    name: 'learned and archived, the other verdict of the day removed',
    settings: { LEARN_AFTER: 'archive' },
    before: (world) => {
      world.put(`archive/ham/${TODAY}/a`, bodyOf('a', 'ham'));
      drop(world, 'spam', 'a');
      drop(world, 'ham', 'b');
    },
    learned: { a: 'spam', b: 'ham' },
  },
  {
    name: 'a verdict turned while the older one waits, and while it is in flight',
    before: (world) => {
      enqueue(world, 'spam', 'a', UNMARKED);
      drop(world, 'ham', 'a');
      drop(world, 'spam', 'b');
      learnSlowly(world, 'b');
    },
    meanwhile: [
      {
        when: ({ trainer }) => trainer.names.includes('b'),
        act: (world) => drop(world, 'ham', 'b'),
      },
    ],
    learned: { a: 'ham', b: 'ham' },
  },
  {
    name: 'judged again, or withdrawn, while it is in flight',
    before: (world) => {
      drop(world, 'spam', 'a');
      learnSlowly(world, 'a');
      drop(world, 'ham', 'b');
    },
    meanwhile: [
      {
        when: ({ trainer }) => trainer.names.includes('a'),
        act: (world) => world.put('spam/a', bodyOf('a', 'spam', 'with other words')),
      },
      {
        when: ({ trainer }) => trainer.names.filter((name) => name === 'a').length > 1,
        act: (world) => {
          world.quietly(() => rmSync(world.pathOf('queue/spam/a'), { force: true }));
        },
      },
    ],
    learned: { b: 'ham' },
  },
  ...[false, true].map((elsewhere): Scenario => ({
    name: `twins in both class folders${elsewhere ? ', on another file system' : ''}`,
    elsewhere,
    before: (world) => {
      drop(world, 'spam', 'a', UNMARKED);
      drop(world, 'ham', 'a');
    },
    learned: { a: 'ham' },
  })),
  {
    name: 'carried over from another file system',
    elsewhere: true,
    before: (world) => {
      world.put('spam/.learnd-a', bodyOf('a', 'spam'));
      world.put('tmp/a', 'half a copy');
      drop(world, 'ham', 'b');
      enqueue(world, 'spam', 'c', UNMARKED);
      drop(world, 'ham', 'c');
      world.put('spam/.learnd-d', bodyOf('d', 'spam'));
      drop(world, 'ham', 'd');
    },
    learned: { a: 'spam', b: 'ham', c: 'ham', d: 'ham' },
  },
  {
    name: 'found in the queue after a restart',
    settings: { LEARN_AFTER: 'archive' },
    before: (world) => {
      enqueue(world, 'spam', 'a');
      enqueue(world, 'ham', 'b', UNMARKED);
      // A restore from a backup can leave both.
      enqueue(world, 'spam', 'c');
      enqueue(world, 'ham', 'c');
    },
    learned: { a: 'spam', b: 'ham', c: 'ham' },
  },
  {
    name: 'quarantined: empty for rspamd, and over-size',
    before: (world) => {
      world.trainer.plays(
        toAll(({ text }) => (text === '' ? { kind: 'rejected', reason: '400 empty' } : undefined)),
      );
      world.put('queue/ham/empty', '');
      world.put('spam/large', bodyOf('large', 'spam', 'x'.repeat(2_000)));
      drop(world, 'spam', 'a');
    },
    learned: { a: 'spam' },
    quarantined: ['ham/empty', 'spam/large'],
  },
  {
    name: 'a newer verdict for one in quarantine',
    before: (world) => {
      world.put('quarantine/spam/a', bodyOf('a', 'spam'));
      reason(world, 'spam', 'a');
      drop(world, 'ham', 'a');
    },
    learned: { a: 'ham' },
  },
  {
    name: 'released from quarantine',
    before: (world) => {
      world.put('release/spam/a', bodyOf('a', 'spam'));
      reason(world, 'spam', 'a');
      world.put('release/ham/b', bodyOf('b', 'ham'));
      drop(world, 'spam', 'b');
    },
    meanwhile: [
      {
        when: hasLearned('a'),
        act: (world) => world.put('release/ham/c', bodyOf('c', 'ham')),
      },
    ],
    learned: { a: 'spam', b: 'spam', c: 'ham' },
  },
  {
    name: 'archive days that are too old',
    settings: { LEARN_AFTER: 'archive', LEARN_ARCHIVE_DAYS: '3' },
    before: (world) => {
      world.put('archive/spam/2026-01-01/x', bodyOf('x', 'spam'));
      world.put('archive/ham/2026-01-02/y', bodyOf('y', 'ham'));
      world.put('archive/ham/2026-03-13/z', bodyOf('z', 'ham'));
      drop(world, 'spam', 'a');
    },
    learned: { a: 'spam' },
    isOver: (world) =>
      world.names('archive/spam').concat(world.names('archive/ham')).sort().join() ===
      `2026-03-13,${TODAY}`,
  },
  {
    name: 'a class folder that is replaced',
    before: (world) => drop(world, 'spam', 'a'),
    meanwhile: [
      {
        when: hasLearned('a'),
        act: (world) => {
          world.quietly(() => {
            renameSync(world.pathOf('spam'), `${world.folder}/old`);
            mkdirSync(world.pathOf('spam'));
          });
          drop(world, 'spam', 'b');
        },
      },
    ],
    learned: { a: 'spam', b: 'spam' },
  },
  {
    name: 'one pass',
    once: true,
    settings: { LEARN_AFTER: 'archive' },
    before: (world) => {
      enqueue(world, 'spam', 'a');
      drop(world, 'ham', 'b');
      world.put('release/ham/c', bodyOf('c', 'ham'));
    },
    learned: { a: 'spam', b: 'ham', c: 'ham' },
  },
];
