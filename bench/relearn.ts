/**
 * The relearn benchmark: teaching rspamd a whole corpus from nothing, by this project's command, by
 * rspamc with 8 and with 32 posts at a time, and by a loop that only posts (the ceiling), in our
 * order and in rspamc's. Prints figures beside their targets; a missed target is no failure, because
 * the machine has a say in it.
 *
 *   npm run bench:relearn -- [--corpus FOLDER | --messages N] [--rounds N] [--peers] [--old FOLDER]
 *
 * The corpus is any folder with `spam/` and `ham/` that hold a message in each file; without one it
 * is made, N messages of each class. Everybody learns it with `Learn-Type: bulk` into the same
 * private rspamd and Redis, in the same state before each run, and the order rotates from round to
 * round. Ratios are made within a round. `--peers` leaves the command out; `--old` names another checkout in
 * which `npm run bundle` was run, whose command takes part.
 */
import { readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { makeMessages } from '../test/lab/messages.ts';
import type { MadeMessage } from '../test/lab/messages.ts';
import {
  OURS,
  barePosts,
  relearn,
  rspamc,
  type Contender,
  type Finish,
} from './relearn-contenders.ts';
import { RelearnStage } from './relearn-stage.ts';
import { bundleIn, inScratch, layOut } from './scratch.ts';
import { spreadOf, type Spread } from './spread.ts';
import { MACHINE, amount, columnsOf, printRows, row, type Row } from './table.ts';

/** Of our command's speed, in that of the better rspamc. */
const LEAST_SPEED = 1.05;
/** Of our command's CPU time, in that of the old build. */
const MOST_CPU = 0.5;
const LONGEST_END_S = 3;

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    messages: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '5' },
    peers: { type: 'boolean', default: false },
    old: { type: 'string' },
  },
});
const old = bundleIn(values.old);
const OLD = old === undefined ? undefined : relearn('old build', old);
const RSPAMC = [rspamc(8), rspamc(32)];
const CONTENDERS = [
  ...(values.peers ? [] : [OURS]),
  ...(OLD === undefined ? [] : [OLD]),
  ...RSPAMC,
  barePosts('mixed'),
  barePosts('spam-first'),
];

/** A run, and what the servers say of it. */
interface Result extends Finish {
  readonly inRedis: { readonly spam: number; readonly ham: number };
  readonly rspamdCpuMs: number;
  readonly redisCpuMs: number;
  /**
   * CPU time that the rest of the machine took meanwhile, the wait for `/stat` included: what makes a
   * wall clock untrue.
   */
  readonly othersCpuMs: number;
}

/** The results of one round; every contender has one. */
type Round = ReadonlyMap<Contender, Result>;

await inScratch(async (scratch) => {
  const corpus =
    values.corpus === undefined ? layOut(scratch, madeMessages()) : resolve(values.corpus);
  const [spam, ham] = [messagesIn(join(corpus, 'spam')), messagesIn(join(corpus, 'ham'))];
  console.log(`${spam} spam and ${ham} ham, ${values.rounds} rounds`);
  const rounds = await runRounds(corpus, Number(values.rounds));
  console.log(`\n${MACHINE}; medians, (least to most)\n`);
  console.log(contenderTable(rounds, spam + ham));
  printRows('Medians', ratioRows(rounds));
});

function madeMessages(): readonly MadeMessage[] {
  const count = Number(values.messages);
  return [...makeMessages('spam', count), ...makeMessages('ham', count)];
}

function messagesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()).length;
}

async function runRounds(corpus: string, count: number): Promise<readonly Round[]> {
  const stage = await RelearnStage.start();
  try {
    const rounds: Round[] = [];
    for (let round = 0; round < count; round += 1) {
      const results = new Map<Contender, Result>();
      for (let turn = 0; turn < CONTENDERS.length; turn += 1) {
        const contender = CONTENDERS[(round + turn) % CONTENDERS.length];
        if (contender === undefined) throw new Error('nobody takes part');
        const result = await runOne(stage, contender, corpus);
        results.set(contender, result);
        console.log(`round ${round + 1}: ${lineOf(contender, result)}`);
      }
      rounds.push(results);
    }
    return rounds;
  } finally {
    await stage.stop();
  }
}

async function runOne(stage: RelearnStage, contender: Contender, corpus: string): Promise<Result> {
  await stage.reset();
  const [before, machineBefore] = [stage.serverCpuMs(), machineCpuMs()];
  const finish = await contender.run({ corpus, port: stage.port });
  const [after, machineAfter] = [stage.serverCpuMs(), machineCpuMs()];
  const rspamdCpuMs = after.rspamd - before.rspamd;
  const redisCpuMs = after.redis - before.redis;
  return {
    ...finish,
    inRedis: await stage.learned(),
    rspamdCpuMs,
    redisCpuMs,
    othersCpuMs: machineAfter - machineBefore - finish.cpuMs - rspamdCpuMs - redisCpuMs,
  };
}

/** CPU time that was spent on anything so far, over all cores. */
function machineCpuMs(): number {
  const spent = cpus().map(({ times }) => times.user + times.nice + times.sys + times.irq);
  return spent.reduce((sum, ms) => sum + ms, 0);
}

function lineOf({ name }: Contender, result: Result): string {
  const { wallMs, confirmingMs, told, inRedis, othersCpuMs } = result;
  const confirming = confirmingMs === 0 ? '' : ` (and ${seconds(confirmingMs)} confirming)`;
  const { learned, known, refused, failed } = told;
  return (
    `${name}: ${seconds(wallMs)}${confirming}; ` +
    `Redis: ${inRedis.spam} spam, ${inRedis.ham} ham; ` +
    `says ${learned} learned, ${known} known, ${refused} refused, ${failed} failed; ` +
    `CPU of others: ${seconds(othersCpuMs)}`
  );
}

function contenderTable(rounds: readonly Round[], messages: number): string {
  const line = (contender: Contender): readonly string[] => {
    const over = (figure: (result: Result) => number): Spread =>
      spreadOf(rounds.map((round) => figure(resultOf(round, contender))));
    const median = (unit: string, figure: (result: Result) => number): string =>
      amount(over(figure).median, unit);
    return [
      contender.name,
      showSpread(over(({ wallMs }) => wallMs / 1_000)),
      median('s', ({ cpuMs }) => cpuMs / 1_000),
      median('ms', ({ cpuMs }) => cpuMs / messages),
      median('MB', ({ peakMb }) => peakMb),
      showSpread(over(learnedInRedis)),
      `${median('', ({ told }) => told.learned)} + ${median('', ({ told }) => told.known)}`,
      median('s', ({ rspamdCpuMs }) => rspamdCpuMs / 1_000),
      median('s', ({ redisCpuMs }) => redisCpuMs / 1_000),
      median('s', ({ othersCpuMs }) => othersCpuMs / 1_000),
    ];
  };
  const client = ['wall clock, s', 'client CPU', 'a message', 'peak memory'];
  const counts = ['learned, says Redis', 'learned + known, own word'];
  const head = ['', ...client, ...counts, 'CPU of rspamd', 'of Redis', 'of others'];
  return columnsOf([head, ...CONTENDERS.map(line)]);
}

/** Everybody but rspamc beside the better rspamc of the same round; our command beside the old build. */
function ratioRows(rounds: readonly Round[]): readonly Row[] {
  const median = (figure: (round: Round) => number): number => spreadOf(rounds.map(figure)).median;
  const own = (round: Round): Result => resultOf(round, OURS);
  const speeds = CONTENDERS.filter((contender) => !RSPAMC.includes(contender)).map((contender) =>
    row(
      `${contender.name}: speed, of the better rspamc's`,
      median((round) => betterRspamc(round).wallMs / resultOf(round, contender).wallMs),
      'x',
      contender === OURS ? { atLeast: LEAST_SPEED } : {},
    ),
  );
  if (values.peers) return speeds;
  const more = median((round) => handledBy(own(round)) / handledBy(betterRspamc(round)));
  const end = median((round) => own(round).confirmingMs / 1_000);
  const cpuOf = (old: Contender): number =>
    median((round) => own(round).cpuMs / resultOf(round, old).cpuMs);
  return [
    ...speeds,
    row("relearn: learned or known, of rspamc's", more, 'x'),
    row('relearn: from the last answer to the end', end, 's', { atMost: LONGEST_END_S }),
    ...(OLD === undefined
      ? []
      : [row("relearn: client CPU, of the old build's", cpuOf(OLD), 'x', { atMost: MOST_CPU })]),
  ];
}

function resultOf(round: Round, contender: Contender): Result {
  const result = round.get(contender);
  if (result === undefined) throw new Error(`${contender.name} sat a round out`);
  return result;
}

function betterRspamc(round: Round): Result {
  const [first, ...rest] = RSPAMC.map((contender) => resultOf(round, contender));
  if (first === undefined) throw new Error('no rspamc takes part');
  return rest.reduce((best, result) => (result.wallMs < best.wallMs ? result : best), first);
}

function learnedInRedis({ inRedis }: Result): number {
  return inRedis.spam + inRedis.ham;
}

function handledBy({ told }: Result): number {
  return told.learned + told.known;
}

function showSpread({ least, median, most }: Spread): string {
  return `${amount(median, '')} (${amount(least, '')} to ${amount(most, '')})`;
}

function seconds(ms: number): string {
  return amount(ms / 1_000, 's');
}
