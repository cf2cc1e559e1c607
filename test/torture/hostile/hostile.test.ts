import {
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  openSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { encodeName } from '../../../src/spool/message.ts';
import { clean } from '../../../src/text.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import { MARKER, certify } from './messages.ts';
import { HostileWorld, expectClean, expectUnharmed, give, until } from './world.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { EXHIBITS, NAMES } from './zoo.ts';
import type { Fate } from './zoo.ts';

/**
 * Suite 4 of the evidence: a drop directory whose writer is an enemy. No byte of anything outside of
 * it is ever sent, the event loop is never blocked for long, and the log stays clean. What is swapped
 * in a race is in `hostile-races.test.ts`.
 */

const chance = chanceFor('hostile drop directory', 324_375_754);
const timeout = byLength({ short: 300_000, middle: 900_000, long: 3_600_000 });
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
    const daemon = world.start();
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
  await expect.poll(() => world.quarantined.sort(), { timeout: 60_000 }).toEqual(unfit.sort());
}

const JUNK_PLACES = byLength({ short: PLACES.slice(1), middle: PLACES, long: PLACES });

test.for(JUNK_PLACES)(
  'a hundred thousand entries that are none keep no message from being learned, $where',
  { timeout },
  async ({ elsewhere }) => {
    const world = await HostileWorld.make({ elsewhere, knowing: true });
    await world.attack('junk', { count: 100_000 }).account();
    const write = (verdict: Verdict, batch: string): void => {
      for (let i = 0; i < 50; i += 1) world.drop(verdict, `${batch}-${i}.eml`);
    };
    write('spam', 'early');
    const daemon = world.start();
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
    expect(daemon.peakMb).toBeLessThan(130);
    const said = daemon.lines.filter(({ event }) => event.startsWith('spool.')).length;
    process.stdout.write(`${said} lines about what lies there\n`);
    expect(said).toBeLessThan(5_000);
    expect(daemon.logged('disk.fault')).toEqual([]);
  },
);

/** Rewrites a file through a descriptor, in pieces. */
async function rewrite(fd: number, body: Buffer, pauseMs: number): Promise<void> {
  ftruncateSync(fd);
  const half = Math.floor(body.length / 2);
  writeSync(fd, body, 0, half, 0);
  if (pauseMs > 0) await sleep(pauseMs);
  writeSync(fd, body, half, body.length - half, half);
  closeSync(fd);
}

test(
  'a message is posted whole, and last as it was written last, whoever writes on into it',
  { timeout },
  async () => {
    const world = await HostileWorld.make();
    const { controller } = world;
    controller.delayMs = 100;
    const daemon = world.start({ LEARN_SETTLE_MS: '2000' });
    await daemon.says('daemon.owner');
    const growing = world.attack('grow', { name: 'growing.eml' });
    const count = byLength({ short: 30, middle: 300, long: 1_000 });
    const names = Array.from({ length: count }, (_, i) => `m${i}.eml`);
    /** Writes a first version, and a second one through the same descriptor at some moment. */
    const play = async (name: string, i: number): Promise<void> => {
      await sleep(chance.below(count * 20));
      const path = world.path('spam', name);
      const fd = openSync(path, 'w', 0o600);
      writeSync(fd, certify({ name, version: 1 }, 2_000));
      give(path);
      chmodSync(path, 0o660);
      const newer = certify({ name, version: 2 }, 3_000);
      if (i % 2 === 0) {
        // While it is in flight, slowly: it has to settle again.
        await until(daemon, `post ${name}`, () => controller.versionsOf(name).length > 0);
        await rewrite(fd, newer, chance.below(300));
      } else {
        // Just when it is being taken, or a little before or after, at one go.
        await sleep(150 + chance.below(150));
        await rewrite(fd, newer, 0);
      }
      if (i % 5 === 0) {
        // Then the user changes the verdict, under the same name.
        await sleep(chance.below(500));
        world.drop('ham', name, 3);
      }
    };
    await Promise.all(names.map(play));
    const isLast = (name: string, i: number): boolean =>
      controller.versionsOf(name).at(-1) === (i % 5 === 0 ? 3 : 2);
    await until(daemon, 'learn the last versions', () => names.every(isLast));
    await until(daemon, 'empty the queue', () => world.isOver);
    expectUnharmed(world, daemon);
    expect(names.every(isLast)).toBe(true);
    expect(controller.posts.some(({ version }) => version === 1)).toBe(true);
    expect(existsSync(world.path('spam', 'growing.eml'))).toBe(true);
    expect(daemon.logged('spool.stuck')).toEqual([]);
    growing.end();
    const { pieces } = await growing.account<{ pieces: number }>();
    process.stdout.write(
      `${controller.posts.length} posts of ${count} messages; a file grew by ${pieces} pieces\n`,
    );
    expect(pieces).toBeGreaterThan(10);
  },
);
