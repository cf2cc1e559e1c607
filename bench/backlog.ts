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
import { MACHINE, printRows, type Row } from './table.ts';

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

function emptyRows(figures: EmptySpoolFigures): Row[] {
  return [
    {
      what: 'empty spool: ready',
      value: figures.readyMs,
      unit: 'ms',
      atMost: 600,
      peer: { name: 'node -e 0', value: figures.nodeMs },
    },
    { what: '  idle CPU, of one core', value: figures.cpuPercent, unit: '%', atMost: 0.2 },
    {
      what: '  RSS',
      value: figures.mb,
      unit: 'MB',
      atMost: 90,
      peer: { name: 'idle node', value: figures.nodeMb },
    },
  ];
}

function fullRows({ count, floor, lawsMs, chokidar, daemon }: FullSpoolFigures): Row[] {
  const target = (atMost: number): number | undefined => (count === USUAL ? atMost : undefined);
  const beside = (value: number | undefined): Row['peer'] =>
    value === undefined ? undefined : { name: 'chokidar', value };
  return [
    {
      what: `${count} waiting: all picked up`,
      value: daemon.pickupMs / 1_000,
      unit: 's',
      peer: { name: 'bare loop', value: floor.ms / 1_000 },
    },
    {
      what: '  times the bare loop',
      value: daemon.pickupMs / floor.ms,
      unit: 'x',
      atMost: target(3),
    },
    {
      what: '  beside the looks that the laws need',
      value: daemon.pickupMs / 1_000,
      unit: 's',
      peer: { name: 'law loop', value: lawsMs / 1_000 },
    },
    ...(chokidar === undefined
      ? []
      : [
          {
            what: '  beside chokidar, which only lists',
            value: daemon.pickupMs / 1_000,
            unit: 's',
            peer: beside(chokidar.ms / 1_000),
          },
        ]),
    {
      what: '  first one learned',
      value: daemon.firstLearnedMs / 1_000,
      unit: 's',
      atMost: target(1),
    },
    // settle time and sweep interval
    { what: '  one that comes later found', value: daemon.lateMs / 1_000, unit: 's', atMost: 32 },
    {
      what: '  peak RSS of the pickup',
      value: daemon.pickupMb,
      unit: 'MB',
      atMost: target(110),
      peer: { name: 'bare loop', value: floor.mb },
    },
    {
      what: '  peak RSS, learning as well',
      value: daemon.mb,
      unit: 'MB',
      atMost: target(110),
      peer: beside(chokidar?.mb),
    },
    {
      what: '  inotify watches',
      value: daemon.watches,
      unit: '',
      atMost: 4,
      peer: beside(chokidar?.watches),
    },
    { what: '  learned from the stub', value: daemon.learnedPerSecond, unit: '/s' },
  ];
}

/** The old build with as many files, made anew. */
async function oldRows({ count, daemon }: FullSpoolFigures): Promise<Row[]> {
  if (old === undefined) return [];
  const before = await measureFullSpool({ ...options, count, program: old });
  const row = (what: string, unit: string, value: number, its: number): Row => {
    return { what: `  ${what}`, value, unit, peer: { name: 'old build', value: its } };
  };
  return [
    { what: `${count} waiting, beside the old build`, value: count, unit: '' },
    row('all picked up', 's', daemon.pickupMs / 1_000, before.daemon.pickupMs / 1_000),
    row(
      'first one learned',
      's',
      daemon.firstLearnedMs / 1_000,
      before.daemon.firstLearnedMs / 1_000,
    ),
    row('peak RSS', 'MB', daemon.mb, before.daemon.mb),
  ];
}

function ratioRow(larger: FullSpoolFigures, smaller: FullSpoolFigures): Row {
  return {
    what: `  peak RSS against ${smaller.count} waiting`,
    value: larger.daemon.mb / smaller.daemon.mb,
    unit: 'x',
    atMost: 1.2,
  };
}
