/**
 * The backlog benchmark: what the daemon needs for a spool that is full when it starts, and for one
 * that is empty. Prints figures beside their targets and beside peers of the same run; a missed
 * target is no failure, because the machine has a say in it.
 *
 *   npm run bench:backlog -- [--files N] [--million] [--learn-seconds N] [--idle-seconds N]
 *                            [--profile FOLDER] [--old FOLDER]
 *
 * The daemon is the built one, in a process of its own, and learns against a stub controller in
 * another. `--million` does it all again with 1,000,000 files (8 GB of disk, several minutes);
 * `--profile` leaves a CPU profile of the daemon; `--old` names another checkout in
 * which `npm run bundle` was run, whose daemon gets the same files.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureEmptySpool, type EmptySpoolFigures } from './empty-spool.ts';
import { measureFullSpool, type FullSpoolFigures } from './full-spool.ts';
import { bundleIn } from './scratch.ts';
import { MACHINE, beside, printRows, row, type Row } from './table.ts';

/** The number of files that the targets are set for. */
const USUAL = 100_000;
const MILLION = 1_000_000;

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: String(USUAL) },
    million: { type: 'boolean', default: false },
    'learn-seconds': { type: 'string', default: '20' },
    'idle-seconds': { type: 'string', default: '30' },
    profile: { type: 'string' },
    old: { type: 'string' },
  },
});
const options = {
  learnMs: Number(values['learn-seconds']) * 1_000,
  profile: values.profile === undefined ? undefined : resolve(values.profile),
};

const old = bundleIn(values.old);
const empty = await measureEmptySpool(Number(values['idle-seconds']) * 1_000);
const usual = await measureFullSpool({ ...options, count: Number(values.files) });
const rows = [...emptyRows(empty), ...fullRows(usual), ...(await oldRows(usual))];
if (values.million) {
  const million = await measureFullSpool({ ...options, count: MILLION });
  rows.push(...fullRows(million), ratioRow(million, usual), ...(await oldRows(million)));
}
printRows(MACHINE, rows);

function emptyRows({ readyMs, nodeMs, cpuPercent, mb, nodeMb }: EmptySpoolFigures): Row[] {
  return [
    row('empty spool: ready', readyMs, 'ms', { atMost: 600, ...beside('node -e 0', nodeMs) }),
    row('  idle CPU, of one core', cpuPercent, '%', { atMost: 0.2 }),
    row('  RSS', mb, 'MB', { atMost: 90, ...beside('idle node', nodeMb) }),
  ];
}

function fullRows({ count, floor, lawsMs, chokidar, daemon }: FullSpoolFigures): Row[] {
  const target = (atMost: number) => (count === USUAL ? { atMost } : {});
  const pickup = (what: string, peer: string, ms: number): Row =>
    row(what, daemon.pickupMs / 1_000, 's', beside(peer, ms / 1_000));
  const { mb, pickupMb, watches } = daemon;
  const chokidars = (figure: number | undefined) => beside('chokidar', figure);
  return [
    pickup(`${count} waiting: all picked up`, 'bare loop', floor.ms),
    row('  times the bare loop', daemon.pickupMs / floor.ms, 'x', target(3)),
    pickup('  beside the looks that the laws need', 'law loop', lawsMs),
    ...(chokidar === undefined
      ? []
      : [pickup('  beside chokidar, which only lists', 'chokidar', chokidar.ms)]),
    row('  first one learned', daemon.firstLearnedMs / 1_000, 's', target(1)),
    // settle time and sweep interval
    row('  one that comes later found', daemon.lateMs / 1_000, 's', { atMost: 32 }),
    row('  peak RSS of the pickup', pickupMb, 'MB', {
      ...target(110),
      ...beside('bare loop', floor.mb),
    }),
    row('  peak RSS, learning as well', mb, 'MB', { ...target(110), ...chokidars(chokidar?.mb) }),
    row('  inotify watches', watches, '', { atMost: 4, ...chokidars(chokidar?.watches) }),
    row('  learned from the stub', daemon.learnedPerSecond, '/s'),
  ];
}

/** The old build with as many files, made anew. */
async function oldRows({ count, daemon }: FullSpoolFigures): Promise<Row[]> {
  if (old === undefined) return [];
  const { daemon: its } = await measureFullSpool({ ...options, count, program: old });
  const both = (what: string, unit: string, value: number, old: number): Row =>
    row(`  ${what}`, value, unit, beside('old build', old));
  const seconds = (what: string, ms: number, oldMs: number): Row =>
    both(what, 's', ms / 1_000, oldMs / 1_000);
  return [
    row(`${count} waiting, beside the old build`, count, ''),
    seconds('all picked up', daemon.pickupMs, its.pickupMs),
    seconds('first one learned', daemon.firstLearnedMs, its.firstLearnedMs),
    both('peak RSS', 'MB', daemon.mb, its.mb),
  ];
}

function ratioRow(larger: FullSpoolFigures, smaller: FullSpoolFigures): Row {
  const ratio = larger.daemon.mb / smaller.daemon.mb;
  return row(`  peak RSS against ${smaller.count} waiting`, ratio, 'x', { atMost: 1.2 });
}
