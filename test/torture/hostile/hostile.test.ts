import { linkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeName } from '../../../src/spool/message.ts';
import { clean } from '../../../src/text.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import { MARKER, certify } from './messages.ts';
import { HostileWorld, expectClean, expectUnharmed } from './world.ts';
import type { HostileOptions } from './world.ts';
import type { Daemon } from '../../lab/daemon.ts';
import type { StagedAccount, SwapAccount } from './adversary.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { EXHIBITS, NAMES } from './zoo.ts';
import type { Fate } from './zoo.ts';

/**
 * A drop directory whose writer is an enemy. No byte of anything outside of it is ever sent, the
 * event loop is never blocked for long, and the log stays clean.
 */

const chance = chanceFor('hostile drop directory', 324_375_754);
const timeout = byLength({ short: 300_000, middle: 900_000, long: 7_200_000 });
/** A long run leaves much to do. */
const until = (daemon: Daemon, what: string, isSo: () => boolean): Promise<void> =>
  daemon.until(what, isSo, { timeoutMs: timeout / 2 });
const PLACES = [
  { where: 'with the state dir beside it', elsewhere: false },
  { where: 'with the state dir elsewhere', elsewhere: true },
];

function exhibited(...fates: readonly Fate[]): string[] {
  return EXHIBITS.filter(({ fate }) => fates.includes(fate)).map(({ name }) => name);
}

/** A name as it may be said. */
function logged(name: string): string {
  return clean(Buffer.from(name).toString('latin1'));
}

test.for(PLACES)(
  'what is no message is not sent, and a message is, whatever its name, $where',
  { timeout },
  async ({ elsewhere }) => {
    const world = await HostileWorld.make({ elsewhere });
    const { controller } = world;
    for (const { name, make } of EXHIBITS) make(world.path('spam', name), world);
    linkSync(world.secret(9), world.path('ham', '.learnd-planted.eml'));
    const names = NAMES.map((name) => world.drop('spam', name));
    const daemon = await world.watch();
    const isLearned = (version: number): boolean => {
      const counts = controller.counts(version);
      return names.every((name) => counts.get(name) === 2);
    };
    await until(daemon, 'learn them all', () => isLearned(1));
    // Once more in the other folder, and rung for.
    for (const { name, fate, make } of EXHIBITS) {
      if (fate === 'ignored') make(world.path('ham', name), world);
    }
    for (const name of NAMES) world.drop('ham', name, 2);
    await until(daemon, 'learn them once more', () => isLearned(2));
    const stays = elsewhere
      ? [
          ...exhibited('ignored', 'left', 'immovable', 'oversize'),
          ...exhibited('linked').map((name) => `.learnd-${encodeName(name)}`),
        ]
      : exhibited('ignored', 'left', 'immovable');
    await until(daemon, 'put away what is unfit', () => {
      return (
        controller.strangers.length > 0 ||
        (world.dropped('spam').length === stays.length && world.queued.length === 0)
      );
    });
    expect(controller.strangers).toEqual([]);
    expect(world.dropped('spam').sort()).toEqual(stays.sort());
    expect(world.dropped('ham').sort()).toEqual(
      [...exhibited('ignored'), '.learnd-planted.eml'].sort(),
    );
    const ignored = (['spam', 'ham'] satisfies Verdict[]).flatMap((verdict) =>
      exhibited('ignored').map((name) => `${verdict}/${logged(name)}`),
    );
    await until(daemon, 'say what it ignores', () => {
      return daemon.logged('spool.ignored').length >= ignored.length;
    });
    const said = daemon.logged('spool.ignored');
    expect(said.map((line) => `${String(line['verdict'])}/${String(line['file'])}`).sort()).toEqual(
      ignored.sort(),
    );
    if (elsewhere) expect(world.quarantined).toEqual([]);
    else await askAboutQuarantine(world);
    expectUnharmed(world, daemon);
    // Said after the proof, and after the file is gone.
    await until(
      daemon,
      'say so',
      () => daemon.logged('message.learned').length >= 2 * names.length,
    );
    // Each of both versions by a post and its proof.
    expect(controller.posts).toHaveLength(4 * names.length);
    expect(daemon.logged('message.learned')).toHaveLength(2 * names.length);
  },
);

/** An operator looks at what was quarantined unread, and sends it all back. */
async function askAboutQuarantine(world: HostileWorld): Promise<void> {
  const unfit = exhibited('linked', 'oversize').map((name) => encodeName(name));
  expect(world.quarantined.sort()).toEqual(unfit.sort());
  const linked = exhibited('linked').map((name) => encodeName(name));
  const commands = [
    ['quarantine', 'list'],
    ['quarantine', 'list', '--json'],
    ['status'],
    ['status', '--json'],
    ...linked.map((name) => ['quarantine', 'show', name]),
    ['quarantine', 'release', '--all'],
  ];
  for (const command of commands) {
    const { code, out, err } = await world.run(...command);
    expect(code, `${command.join(' ')}: ${err}`).toBe(command.includes('show') ? 1 : 0);
    expect(out + err).not.toContain(MARKER);
    expectClean(out + err);
  }
  await until(world.daemon, 'put them away again', () => {
    return world.quarantined.sort().join() === unfit.sort().join();
  });
}

const JUNK_PLACES = byLength({ short: PLACES.slice(1), middle: PLACES, long: PLACES });

test.for(JUNK_PLACES)(
  'a hundred thousand entries that are none keep no message from being learned, $where',
  { timeout },
  async ({ elsewhere }) => {
    const world = await HostileWorld.make({ elsewhere, knowing: true });
    await world.attack('junk', { count: 100_000 });
    const write = (verdict: Verdict, batch: string): void => {
      for (let i = 0; i < 50; i += 1) world.drop(verdict, `${batch}-${i}.eml`);
    };
    write('spam', 'early');
    const daemon = await world.watch();
    await until(daemon, 'learn what was there', () => world.controller.counts(1).size === 50);
    write('ham', 'late');
    await until(daemon, 'learn what came', () => world.controller.counts(1).size === 100);
    // Its name can't be told from its key: the folders are searched for it.
    const released = encodeName('released'.repeat(31));
    const place = join(world.stateDir, 'release/spam', released);
    writeFileSync(place, certify({ name: 'released', version: 1 }));
    await until(daemon, 'learn what was released', () => world.controller.counts(1).size === 101);
    await until(daemon, 'empty the queue', () => {
      return world.queued.every((name) => name.startsWith('link-'));
    });
    expectUnharmed(world, daemon);
    expect(world.controller.posts).toHaveLength(101);
    const said = daemon.lines.filter(({ event }) => event.startsWith('spool.')).length;
    process.stdout.write(`${said} lines about what lies there\n`);
    expect(said).toBeLessThan(5_000);
    expect(daemon.logged('disk.fault')).toEqual([]);
  },
);

// --- what is swapped while the daemon lays hands on it

function seed(): number {
  return chance.below(2 ** 31);
}

async function started(
  options: HostileOptions,
): Promise<{ readonly world: HostileWorld; readonly daemon: Daemon }> {
  const world = await HostileWorld.make(options);
  const daemon = await world.watch();
  await daemon.says('daemon.owner');
  return { world, daemon };
}

test(
  'a symlink in the place of a file that is just being taken is never followed',
  { timeout },
  async () => {
    const { world, daemon } = await started({ knowing: true });
    const tries = byLength({ short: 20_000, middle: 40_000, long: 1_000_000 });
    const account = await world.attack<SwapAccount>('swap', { tries, seed: seed() });
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
    const { world, daemon } = await started({ elsewhere: true, knowing: true });
    const tries = byLength({ short: 10_000, middle: 20_000, long: 500_000 });
    const account = await world.attack<StagedAccount>('swapStaged', { tries, seed: seed() });
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
    const { world, daemon } = await started({ knowing: true });
    const tries = byLength({ short: 60, middle: 200, long: 6_000 });
    const order = { tries, seed: seed() };
    const { written } = await world.attack<{ written: number }>('swapFolder', order);
    await until(daemon, 'learn them all', () => world.controller.counts(1).size === written);
    await until(daemon, 'empty the queue', () => world.isOver);
    expectUnharmed(world, daemon);
    expect(world.controller.posts).toHaveLength(written);
    expect(world.dropped('spam')).toEqual([]);
    expect(daemon.logged('spool.missing').map(({ code }) => code)).toContain('ENOTDIR');
  },
);
