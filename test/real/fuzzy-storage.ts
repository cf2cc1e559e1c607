import { setTimeout as sleep } from 'node:timers/promises';
import type { Sent } from '../support/daemon-spool.ts';
import type { World } from './world.ts';

/** What rspamd's fuzzy storage holds of messages, and signals to it. */

/** A storage writes what it was told after a second. */
const WRITING_MS = 5_000;

/** The lists that a scan finds a message in. */
export async function listsOf(
  { rspamd }: World,
  { raw }: Pick<Sent['message'], 'raw'>,
): Promise<readonly string[]> {
  const { body } = await rspamd.post('/checkv2', raw);
  const { symbols } = JSON.parse(body) as { readonly symbols: Readonly<Record<string, unknown>> };
  return Object.keys(symbols).filter((name) => name.startsWith('FUZZY_'));
}

/** The messages that are in another list than that of their last verdict, or in several. */
export async function wrongLists(
  world: World,
  flags: Readonly<Record<string, number>>,
  all: Iterable<Sent>,
): Promise<readonly string[]> {
  await sleep(WRITING_MS);
  const wrong: string[] = [];
  for (const { message, verdict } of all) {
    const lists = await listsOf(world, message);
    const list = `FUZZY_${flags[verdict] ?? 'none'}`;
    if (lists.join() === list) continue;
    wrong.push(`${message.name} is in ${lists.join(' and ')}, not in ${list}`);
  }
  return wrong;
}

/** The value of RSPAMD_FUZZY_FLAGS. */
export function fuzzyFlagsOf(flags: Readonly<Record<string, number>>): string {
  return Object.entries(flags)
    .map(([name, flag]) => `${name}:${flag}`)
    .join();
}

/** A signal to the storage's process alone. */
export function signalStorage({ rspamd }: World, signal: NodeJS.Signals): void {
  const worker = rspamd.workers().find(({ kind }) => kind === 'fuzzy');
  if (worker === undefined) throw new Error('rspamd has no fuzzy worker');
  process.kill(worker.pid, signal);
}
