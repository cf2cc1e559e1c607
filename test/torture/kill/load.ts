import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from '../../lab/daemon-process.ts';
import { startServers } from '../../real/harness.ts';
import { program } from '../../support/run.ts';
import type { RealServers } from '../../real/harness.ts';
import { until } from '../../real/world.ts';
import { chanceOf } from '../../support/seed.ts';
import type { Chance } from '../../support/seed.ts';
import { roomOf, verdictOf, violationsIn } from './checks.ts';
import type { FoundFile } from './spool.ts';
import { KillSpool } from './spool.ts';
import { KillUsers } from './users.ts';
import type { Judged } from './users.ts';

/**
 * A daemon on a real rspamd of its own, killed at random moments, its start-up among them, while
 * users judge messages. What must hold is looked at after each kill and at the end, where rspamd has
 * the last word on every message.
 */
export interface LoadOptions {
  readonly chance: Chance;
  readonly kills: number;
  /** The state dir lies on another file system than the spool. */
  readonly elsewhere: boolean;
  readonly after: 'remove' | 'archive';
}

export interface LoadResult {
  readonly messages: number;
  readonly judgements: number;
  /** Messages, judged once, that rspamd knew already when a daemon came to post them. */
  readonly repeated: number;
  /** Messages that it doesn't recognise, though it did when their last verdict was proven. */
  readonly forgotten: number;
}

const CONCURRENCY = 8;
const SETTINGS = { LEARN_CONCURRENCY: String(CONCURRENCY), LEARN_SETTLE_MS: '1000' };
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

/** Kills so many daemons, lets one more finish, and looks whether all is as it must be. */
export async function killUnderLoad(options: LoadOptions): Promise<LoadResult> {
  const { elsewhere, chance } = options;
  await using servers = await startServers();
  await using spool = new KillSpool({ program: program(), elsewhere });
  const own = chanceOf(chance.below(2 ** 31));
  await using users = new KillUsers({ lib: spool.lib, chance: own });
  const settings = {
    ...SETTINGS,
    RSPAMD_URL: servers.rspamd.url,
    LEARN_AFTER: options.after,
  };
  const judging = users.judge();
  let last: DaemonProcess;
  try {
    await killAll(options, settings, spool, users);
    last = await spool.start(settings);
    await last.until('start', () => isOwner(last), { timeoutMs: PATIENCE_MS });
    const enough = users.judgements + LAST_JUDGEMENTS;
    await until('some more are judged', PATIENCE_MS, () => users.judgements >= enough);
  } finally {
    users.retire();
    await judging;
  }
  await until('everything is learned', PATIENCE_MS, () => !spool.found().some(isWaiting));
  await last.kill();
  const { spam, ham } = await servers.redis.bayesCounts();
  mustBeEmpty('in the end', [...users.faults, ...wrongFiles(options, spool, users)]);
  const repeated = expectFewRepetitions(options, spool, users, spam + ham);
  const forgotten = await expectRemembered(servers, spool, users);
  return { messages: users.judged.size, judgements: users.judgements, repeated, forgotten };
}

async function killAll(
  { chance, kills }: LoadOptions,
  settings: Readonly<Record<string, string>>,
  spool: KillSpool,
  users: KillUsers,
): Promise<void> {
  for (let kill = 1; kill <= kills; kill += 1) {
    const daemon = await spool.start(settings);
    const isStarting = kill % START_UP_EVERY === 0;
    if (!isStarting) await daemon.until('start', () => isOwner(daemon), { timeoutMs: PATIENCE_MS });
    await sleep(chance.below(isStarting ? START_UP_MS : LONGEST_LIFE_MS));
    if (!daemon.running) throw new Error(`daemon ${kill} ended by itself`);
    await daemon.kill();
    const violations = violationsIn(spool.found(), (name) => bodiesOf(users.judged.get(name)));
    mustBeEmpty(`after kill ${kill}`, [...users.faults, ...violations]);
  }
}

function isOwner(daemon: DaemonProcess): boolean {
  return daemon.linesOf('daemon.owner').length > 0;
}

function bodiesOf(judged: Judged | undefined): readonly Buffer[] {
  return judged === undefined ? [] : [judged.message.raw];
}

function isWaiting(file: FoundFile): boolean {
  return ['drop', 'staged', 'queue'].includes(roomOf(file));
}

/** Nothing is left but the archive, which holds each message once, as it was judged last. */
function wrongFiles({ after }: LoadOptions, spool: KillSpool, users: KillUsers): string[] {
  const archived = new Map<string, FoundFile[]>();
  const wrong: string[] = [];
  for (const file of spool.found()) {
    if (roomOf(file) !== 'archive') wrong.push(`${file.place}/${file.name} is left over`);
    else archived.set(file.name, [...(archived.get(file.name) ?? []), file]);
  }
  for (const [name, judged] of users.judged) {
    const files = archived.get(name) ?? [];
    archived.delete(name);
    const isRight = after === 'remove' ? files.length === 0 : isArchived(files, judged);
    if (isRight) continue;
    const places = files.map(({ place }) => place).join(' and ');
    wrong.push(`${name}, last judged ${judged.verdict}, is in the archive: ${places}`);
  }
  return [...wrong, ...[...archived.keys()].map((name) => `${name} was never judged`)];
}

/** Of two days the later one counts. */
function isArchived(files: readonly FoundFile[], { verdict, message }: Judged): boolean {
  const day = ({ place }: FoundFile): string => place.split('/')[2] ?? '';
  const lastDay = files.map(day).sort().at(-1);
  const [file, another] = files.filter((each) => day(each) === lastDay);
  if (file === undefined || another !== undefined) return false;
  return verdictOf(file) === verdict && violationsIn([file], () => [message.raw]).length === 0;
}

/** At each kill at most as many messages as are in flight are learned without being put away. */
function expectFewRepetitions(
  { kills }: LoadOptions,
  spool: KillSpool,
  users: KillUsers,
  learned: number,
): number {
  // What was judged more than once may be known without any kill.
  const repeated = spool.daemons
    .flatMap((daemon) => daemon.linesOf('message.duplicate'))
    .filter(({ fields }) => users.judged.get(String(fields['file']))?.times === 1).length;
  const bound = kills * CONCURRENCY;
  const tolerated = Math.ceil(users.judgements * COUNTED_SHARE);
  const wrong: string[] = [];
  if (repeated > bound) wrong.push(`${repeated} messages were learned again`);
  if (learned > users.judged.size + bound + tolerated) {
    wrong.push(`${users.judged.size} messages were counted ${learned} times`);
  }
  if (learned < users.judged.size - tolerated) {
    wrong.push(`of ${users.judged.size} messages only ${learned} were counted`);
  }
  mustBeEmpty(`after ${kills} kills`, wrong);
  return repeated;
}

/** rspamd itself knows the last verdict of every message. */
async function expectRemembered(
  { rspamd }: RealServers,
  spool: KillSpool,
  users: KillUsers,
): Promise<number> {
  const proven = lastWords(spool);
  const lost: string[] = [];
  let forgotten = 0;
  const ask = async ({ message, verdict }: Judged): Promise<void> => {
    const headers = { 'Learn-Type': 'bulk' };
    const { status } = await rspamd.post(`/learn${verdict}`, message.raw, headers);
    if (status === 208) return;
    if (status === 200 && proven.get(message.name) === verdict) forgotten += 1;
    else lost.push(`${message.name} as ${verdict}: ${status}`);
  };
  const left = [...users.judged.values()];
  const askOn = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) await ask(next);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, askOn));
  if (forgotten > 1 + users.judged.size * FORGOTTEN_SHARE) {
    lost.push(`${forgotten} of ${users.judged.size} messages are forgotten`);
  }
  mustBeEmpty('rspamd remembers otherwise', lost);
  return forgotten;
}

/** As what each message was proven last, as far as the daemons came to say so. */
function lastWords(spool: KillSpool): ReadonlyMap<unknown, unknown> {
  const words = new Map<unknown, unknown>();
  for (const { lines } of spool.daemons) {
    for (const { event, fields } of lines) {
      if (event !== 'message.learned' && event !== 'message.duplicate') continue;
      words.set(fields['file'], fields['verdict']);
    }
  }
  return words;
}

function mustBeEmpty(when: string, faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(`${when}:\n${faults.slice(0, 20).join('\n')}`);
}
