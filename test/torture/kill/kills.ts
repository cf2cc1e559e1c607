import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon, LogLine, Settings } from '../../lab/daemon.ts';
import type { World } from '../../real/world.ts';
import { until } from '../../support/until.ts';
import type { Filter } from '../../../src/filter.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { Users, messageOf, versionsOf } from '../users.ts';
import type { Judged, UsersOptions } from '../users.ts';
import { byName, filesOf, holds, told, violationsIn } from '../../support/spool-files.ts';
import type { FoundFile } from '../../support/spool-files.ts';

/** Kills at random moments under load, and what must be so afterwards. */

/** Every fourth kill comes within this time, which is about what a start takes. */
const START_UP_EVERY = 4;
const START_UP_MS = 500;
const PATIENCE_MS = 240_000;
const LONGEST_WAIT_MS = 5_000;
const CONCURRENCY = 8;
/** rspamd recognises a message by tokens that are not quite stable: 2 of 4,000 answered 200 again. */
const FORGOTTEN_SHARE = 0.005;
const COUNTED_SHARE = 0.01;

export interface Load {
  readonly kills: number;
  readonly after: 'remove' | 'archive';
  readonly world: World;
  /** What they do. */
  readonly users: Omit<UsersOptions, 'spool' | 'chance'>;
  /** The kills that don't come at the start come within this time after it. */
  readonly longestLifeMs: number;
  /** Beside the daemon that isn't killed. */
  readonly lastJudgements: number;
  readonly settings?: Settings;
  /** Most of the daemons live until this filter has got some messages. @defaultValue any time */
  readonly feeds?: Filter;
  /** What is remembered otherwise than it was last judged, beside rspamd's Bayes. */
  readonly wrong?: (all: readonly Judged[]) => Promise<readonly string[]>;
}

/** What all of them came to. */
export const count = { kills: 0, messages: 0, verdicts: 0, turned: 0, repeated: 0, forgotten: 0 };

/** Kills so many daemons, lets one more finish, and looks whether all is as it must be. */
export async function killUnderLoad(load: Load, own: Chance): Promise<void> {
  const { after, world, feeds, wrong } = load;
  const users = new Users({ ...load.users, spool: world, chance: chanceOf(own.below(2 ** 31)) });
  const start = (): Promise<Daemon> =>
    world.spawn({
      LEARN_CONCURRENCY: String(CONCURRENCY),
      LEARN_SETTLE_MS: '1000',
      LEARN_AFTER: after,
      ...load.settings,
    });
  const isWhole = (file: FoundFile): boolean => {
    const judged = users.judged.get(file.name);
    return judged !== undefined && versionsOf(judged).some(({ raw }) => holds(file, raw));
  };
  const judging = users.run();
  try {
    for (let kill = 1; kill <= load.kills; kill += 1) {
      const daemon = await start();
      const isStarting = kill % START_UP_EVERY === 0;
      if (!isStarting) await daemon.says('daemon.owner');
      if (!isStarting && feeds !== undefined) await learnsSome(daemon, own.below(3), feeds);
      await sleep(own.below(isStarting ? START_UP_MS : load.longestLifeMs));
      if (!daemon.running) throw new Error(`daemon ${kill} ended by itself`);
      await daemon.kill();
      const violations = violationsIn(filesOf(world), isWhole);
      mustBeEmpty(`after kill ${kill}`, [...users.errors, ...violations]);
    }
    await (await start()).says('daemon.owner');
    const enough = users.writes + load.lastJudgements;
    await until('some more are judged', () => users.writes >= enough, PATIENCE_MS);
  } finally {
    users.stop();
    await judging;
  }
  await world.untilDone(PATIENCE_MS);
  await world.daemon.kill();
  const learns = world.verdicts.map((verdict) => `learns_${verdict}`);
  const counts = (await world.redis.command('HMGET', 'RS', ...learns)) as (string | null)[];
  const learned = counts.reduce((sum, count) => sum + Number(count), 0);
  mustBeEmpty('in the end', [
    ...users.errors,
    ...wrongFiles(load, users),
    ...tooManyRepetitions(load, users, learned),
    ...(await forgotten(world, users)),
    ...((await wrong?.([...users.judged.values()])) ?? []),
  ]);
  count.kills += load.kills;
  count.messages += users.judged.size;
  count.verdicts += users.writes;
  count.turned += users.changed.size;
}

/** A start, with a canary, may take longer than a life: the filter gets so many messages done. */
async function learnsSome(daemon: Daemon, messages: number, filter: Filter): Promise<void> {
  const end = performance.now() + LONGEST_WAIT_MS;
  const done = (): number =>
    ends(daemon).filter((line) => isOfRspamd(line) === (filter === 'rspamd')).length;
  while (done() < messages && performance.now() < end) await sleep(5);
}

/** Nothing is left but the archive, which holds each message once, as it was judged last. */
function wrongFiles({ after, world }: Load, users: Users): string[] {
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
function tooManyRepetitions({ kills, world }: Load, users: Users, learned: number): string[] {
  // What was judged more than once may be known without any kill.
  const repeated = world.daemons
    .flatMap((daemon) => daemon.linesOf('message.duplicate'))
    .filter(isOfRspamd)
    .filter(({ fields }) => users.judged.get(String(fields['file']))?.writes === 1).length;
  count.repeated += repeated;
  const bound = kills * CONCURRENCY;
  const tolerated = Math.ceil(users.writes * COUNTED_SHARE);
  const messages = users.judged.size;
  // With three classes rspamd 4.1.5 takes a turned message from the count of the third one, too.
  const fewest = world.verdicts.length > 2 ? 0 : messages - tolerated;
  const isWrong = repeated > bound || learned > messages + bound + tolerated || learned < fewest;
  return isWrong
    ? [`${messages} messages were counted ${learned} times, ${repeated} of them learned again`]
    : [];
}

/** What rspamd itself remembers otherwise than it was last judged. */
async function forgotten(world: World, users: Users): Promise<string[]> {
  const proven = new Map<unknown, unknown>();
  for (const { fields } of world.daemons.flatMap(ends).filter(isOfRspamd)) {
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

/** Its lines of messages that a filter knows. */
function ends({ lines }: Daemon): readonly LogLine[] {
  return lines.filter(({ event }) => ['message.learned', 'message.duplicate'].includes(event));
}

/** Where it is the only filter, lines don't name it. */
function isOfRspamd({ fields }: LogLine): boolean {
  return fields['trainer'] !== 'spamassassin';
}

function mustBeEmpty(when: string, faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(`${when}:\n${faults.slice(0, 20).join('\n')}`);
}
