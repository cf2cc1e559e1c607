import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, it } from 'vitest';
import type { Daemon } from '../../lab/daemon.ts';
import { describeReal } from '../../real/harness.ts';
import { World, until } from '../../real/world.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor, chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { Users, messageOf } from '../users.ts';
import { byName, filesOf, holds, told, violationsIn } from '../files.ts';
import type { FoundFile } from '../files.ts';

/**
 * Kill at random: the built daemon is killed at random moments, its start-up among them, while users
 * judge messages, a fifth of them more than once. Whatever it was at, nothing is lost, cut off or in
 * two places, its writer meets no error, and each message's last verdict is what rspamd remembers.
 * (The kill at every single step is the suite of the system calls.)
 */
const KILLS = byLength({ short: 24, middle: 60, long: 2_000 });
/** Kills until one daemon may finish its work: then rspamd is asked, and another one is started. */
const ROUND = 50;
const TIMEOUT_MS = byLength({ short: 180_000, middle: 900_000, long: 10_800_000 });
const CONCURRENCY = 8;
/** Every fourth kill comes within this time, which is about what a start takes. */
const START_UP_EVERY = 4;
const START_UP_MS = 500;
/** The others come within this time after the start. */
const LONGEST_LIFE_MS = 900;
/** Beside the daemon that isn't killed. */
const LAST_JUDGEMENTS = 40;
const PATIENCE_MS = 240_000;
/** rspamd recognises a message by tokens that are not quite stable: 2 of 4,000 answered 200 again. */
const FORGOTTEN_SHARE = 0.005;
const COUNTED_SHARE = 0.01;

const chance = chanceFor('kill', 324_490_080);
const count = { kills: 0, messages: 0, verdicts: 0, repeated: 0, forgotten: 0 };

afterAll(() => {
  process.stdout.write(`kill: ${JSON.stringify(count)}\n`);
});

interface Load {
  readonly kills: number;
  readonly after: 'remove' | 'archive';
  readonly world: World;
  readonly users: Users;
}

describeReal('nothing is lost by kills at random moments under load', () => {
  const seeds = [chance.below(2 ** 31), chance.below(2 ** 31)];

  it.concurrent.each([
    ['beside the spool', { elsewhere: false, after: 'remove' }],
    ['on another file system', { elsewhere: true, after: 'archive' }],
  ] as const)('with the state dir %s', { timeout: TIMEOUT_MS }, async (_, { elsewhere, after }) => {
    const own = chanceOf(seeds.pop() ?? 0);
    for (let left = KILLS / 2; left > 0; left -= ROUND) {
      await using world = await World.make({ elsewhere });
      const users = new Users({
        lib: world.lib,
        writer: world,
        chance: chanceOf(own.below(2 ** 31)),
        perSecond: 25,
        flips: 0.2,
        repeats: 0.04,
        tooShort: 0,
        recent: 40,
        onlyTaken: false,
      });
      const load = { kills: Math.min(left, ROUND), after, world, users };
      await killUnderLoad(load, own);
      count.kills += load.kills;
      count.messages += users.judged.size;
      count.verdicts += users.writes;
    }
  });
});

/** Kills so many daemons, lets one more finish, and looks whether all is as it must be. */
async function killUnderLoad(load: Load, own: Chance): Promise<void> {
  const { after, world, users } = load;
  const start = async (): Promise<Daemon> =>
    world.spawnDaemon({
      LEARN_CONCURRENCY: String(CONCURRENCY),
      LEARN_SETTLE_MS: '1000',
      LEARN_AFTER: after,
    });
  const owns = (daemon: Daemon): Promise<void> =>
    daemon.until('start', () => daemon.linesOf('daemon.owner').length > 0, {
      timeoutMs: PATIENCE_MS,
    });
  const isWhole = (file: FoundFile): boolean => {
    const judged = users.judged.get(file.name);
    return judged !== undefined && holds(file, messageOf(judged).raw);
  };
  const judging = users.run();
  try {
    for (let kill = 1; kill <= load.kills; kill += 1) {
      const daemon = await start();
      const isStarting = kill % START_UP_EVERY === 0;
      if (!isStarting) await owns(daemon);
      await sleep(own.below(isStarting ? START_UP_MS : LONGEST_LIFE_MS));
      if (!daemon.running) throw new Error(`daemon ${kill} ended by itself`);
      await daemon.kill();
      const violations = violationsIn(filesOf(world), isWhole);
      mustBeEmpty(`after kill ${kill}`, [...users.errors, ...violations]);
    }
    await owns(await start());
    const enough = users.writes + LAST_JUDGEMENTS;
    await until('some more are judged', PATIENCE_MS, () => users.writes >= enough);
  } finally {
    users.stop();
    await judging;
  }
  await world.untilDone(PATIENCE_MS);
  await world.daemon.kill();
  const { spam, ham } = await world.redis.bayesCounts();
  mustBeEmpty('in the end', [
    ...users.errors,
    ...wrongFiles(load),
    ...tooManyRepetitions(load, spam + ham),
    ...(await forgotten(load)),
  ]);
}

/** Nothing is left but the archive, which holds each message once, as it was judged last. */
function wrongFiles({ after, world, users }: Load): string[] {
  const files = filesOf(world);
  const wrong = files.filter(({ room }) => room !== 'archive').map(told);
  const archived = byName(files);
  for (const [name, judged] of users.judged) {
    const copies = archived.get(name) ?? [];
    archived.delete(name);
    // Of two days the later one counts.
    const day = ({ place }: FoundFile): string => place.split('/')[1] ?? '';
    const lastDay = copies.map(day).sort().at(-1);
    const [copy, another] = copies.filter((each) => day(each) === lastDay);
    const isArchived =
      another === undefined &&
      copy?.place.startsWith(judged.verdict) === true &&
      holds(copy, messageOf(judged).raw);
    if (after === 'remove' ? copies.length === 0 : isArchived) continue;
    wrong.push(`${name}, last judged ${judged.verdict}, lies in: ${copies.map(told).join()}`);
  }
  return [...wrong, ...[...archived.keys()].map((name) => `${name} was never judged`)];
}

/** At each kill at most as many messages as are in flight are learned without being put away. */
function tooManyRepetitions({ kills, world, users }: Load, learned: number): string[] {
  // What was judged more than once may be known without any kill.
  const repeated = world.daemons
    .flatMap((daemon) => daemon.linesOf('message.duplicate'))
    .filter(({ fields }) => users.judged.get(String(fields['file']))?.writes === 1).length;
  count.repeated += repeated;
  const bound = kills * CONCURRENCY;
  const tolerated = Math.ceil(users.writes * COUNTED_SHARE);
  const messages = users.judged.size;
  const isWrong =
    repeated > bound || learned > messages + bound + tolerated || learned < messages - tolerated;
  return isWrong
    ? [`${messages} messages were counted ${learned} times, ${repeated} of them learned again`]
    : [];
}

/** What rspamd itself remembers otherwise than it was last judged. */
async function forgotten({ world, users }: Load): Promise<string[]> {
  const proven = new Map<unknown, unknown>();
  for (const { event, fields } of world.daemons.flatMap(({ lines }) => lines)) {
    if (event !== 'message.learned' && event !== 'message.duplicate') continue;
    proven.set(fields['file'], fields['verdict']);
  }
  const lost: string[] = [];
  let unstable = 0;
  for (const [name, judged] of users.judged) {
    const status = await world.status(messageOf(judged), judged.verdict);
    if (status === 200 && proven.get(name) === judged.verdict) unstable += 1;
    else if (status !== 208) lost.push(`${name} is not known as ${judged.verdict}: ${status}`);
  }
  count.forgotten += unstable;
  if (unstable > 1 + users.judged.size * FORGOTTEN_SHARE) lost.push(`${unstable} are forgotten`);
  return lost;
}

function mustBeEmpty(when: string, faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(`${when}:\n${faults.slice(0, 20).join('\n')}`);
}
