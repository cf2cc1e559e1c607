import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MOUNTS } from '../../support/needs.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import type { StagedAccount, SwapAccount } from './adversary.ts';
import { certify } from './messages.ts';
import { HostileWorld, expectUnharmed, until } from './world.ts';

/** Suite 4 of the evidence, second part: what is swapped while the daemon lays hands on it. */

const chance = chanceFor('hostile drop directory, races', 324_486_220);
const timeout = byLength({ short: 300_000, middle: 900_000, long: 7_200_000 });

function seed(): number {
  return chance.below(2 ** 31);
}

test(
  'a symlink in the place of a file that is just being taken is never followed',
  { timeout },
  async () => {
    const world = await HostileWorld.make({ knowing: true });
    const daemon = world.start();
    await daemon.says('daemon.owner');
    const tries = byLength({ short: 20_000, middle: 40_000, long: 1_000_000 });
    const account = await world.attack('swap', { tries, seed: seed() }).account<SwapAccount>();
    await until(daemon, 'empty the queue', () => world.isOver);
    process.stdout.write(
      `${account.tries} swaps, ${account.hits} of them between the look and the rename; ` +
        `${world.controller.posts.length} messages posted\n`,
    );
    expectUnharmed(world, daemon);
    // Or it wasn't in the race at all.
    expect(account.hits).toBeGreaterThan(0);
    expect(world.quarantined).toHaveLength(account.hits);
    const reasons = daemon.logged('message.quarantined').map(({ reason }) => reason);
    expect(new Set(reasons)).toEqual(new Set(['not a regular file']));
    const shown = await world.run('quarantine', 'show', world.quarantined[0] ?? '');
    expect(shown).toMatchObject({ code: 1, out: '' });
  },
);

test(
  'a symlink in the place of a file that is half-way to another file system is never followed',
  { timeout },
  async () => {
    const world = await HostileWorld.make({ elsewhere: true, knowing: true });
    const daemon = world.start();
    await daemon.says('daemon.owner');
    const tries = byLength({ short: 10_000, middle: 20_000, long: 500_000 });
    const attack = world.attack('swapStaged', { tries, seed: seed() });
    const account = await attack.account<StagedAccount>();
    await until(daemon, 'empty the queue', () => world.isOver);
    const { posts } = world.controller;
    process.stdout.write(
      `${account.tries} swaps of ${account.written} files on their way; ${posts.length} of them posted\n`,
    );
    expectUnharmed(world, daemon);
    expect(posts.length).toBeGreaterThan(0);
    expect(world.quarantined).toEqual([]);
    // One file's trouble is not the disk's.
    expect(daemon.logged('disk.fault')).toEqual([]);
  },
);

test(
  'a symlink in the place of a class folder is never entered, and no message of the folder is lost',
  { timeout },
  async () => {
    const world = await HostileWorld.make({ knowing: true });
    const daemon = world.start();
    await daemon.says('daemon.owner');
    const times = byLength({ short: 60, middle: 200, long: 6_000 });
    const attack = world.attack('swapFolder', { times, seed: seed() });
    const { written } = await attack.account<{ written: number }>();
    await until(daemon, 'learn them all', () => world.controller.counts(1).size === written);
    await until(daemon, 'empty the queue', () => world.isOver);
    expectUnharmed(world, daemon);
    expect(world.controller.posts).toHaveLength(written);
    expect(world.dropped('spam')).toEqual([]);
    expect(daemon.logged('spool.missing').map(({ code }) => code)).toContain('ENOTDIR');
  },
);

test(
  'a mount over a class folder is the folder for as long as it lasts (needs root)',
  { timeout, ...MOUNTS },
  async () => {
    const world = await HostileWorld.make({ knowing: true });
    const folder = world.path('spam');
    const learned = (): string[] => [...world.controller.counts(1).keys()];
    const daemon = world.start();
    await daemon.says('daemon.owner');
    const empty = certify({ name: 'beneath.eml', version: 1 });
    for (let round = 0; round < byLength({ short: 1, middle: 4, long: 50 }); round += 1) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
      try {
        world.drop('spam', `on-top-${round}.eml`);
        await until(daemon, 'learn what is mounted', () =>
          learned().includes(`on-top-${round}.eml`),
        );
      } finally {
        execFileSync('umount', ['-l', folder]);
      }
      writeFileSync(world.path('spam', `beneath-${round}.eml`), empty);
      world.drop('spam', `beneath-${round}.eml`);
      await until(daemon, 'learn what was beneath', () =>
        learned().includes(`beneath-${round}.eml`),
      );
    }
    expectUnharmed(world, daemon);
  },
);
