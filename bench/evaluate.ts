/**
 * The benchmark of `evaluate`: its time order and its five folds beside `relearn` of the same corpus
 * in the same round, and its memory with ten times the messages. Prints figures beside their targets;
 * a missed target is no failure, because the machine has a say in it.
 *
 *   npm run bench:evaluate -- [--corpus FOLDER | --messages N] [--rounds N] [--memory]
 *
 * The corpus is any folder with `spam/` and `ham/`; without one it is made, N messages in all.
 * `--memory` measures memory alone, with N and ten times N made messages and two folds.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Evaluation } from '../src/evaluate/evaluation.ts';
import { makeMessages } from '../test/lab/messages.ts';
import { BUNDLE } from './children.ts';
import { runClient, type ClientRun } from './client-run.ts';
import { OURS } from './relearn-contenders.ts';
import { RelearnStage } from './relearn-stage.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, printRows, type Row } from './table.ts';

const MOST_TIME_ORDER = 1.6;
/** Four times the learning, and one of judging. */
const MOST_FOLDS = 4.8;
const MOST_MEMORY = 1.2;

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    messages: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'boolean', default: false },
  },
});
const scratch = mkdtempSync(join(tmpdir(), 'kopano-learnd-bench-'));
try {
  const rows = values.memory
    ? await memory(Number(values.messages))
    : await speed(values.corpus === undefined ? made(Number(values.messages)) : values.corpus);
  printRows(`${MACHINE}; medians`, rows);
} finally {
  rmSync(scratch, { recursive: true });
}

/** A corpus of so many made messages. */
function made(count: number): string {
  const folder = mkdtempSync(join(scratch, 'corpus-'));
  for (const verdict of ['spam', 'ham'] as const) {
    mkdirSync(join(folder, verdict));
    for (const { name, raw } of makeMessages(verdict, count / 2)) {
      writeFileSync(join(folder, verdict, name), raw);
    }
  }
  return folder;
}

async function speed(corpus: string): Promise<readonly Row[]> {
  const stage = await RelearnStage.start();
  const rounds: { readonly relearn: number; readonly timeOrder: number; readonly folds: number }[] =
    [];
  try {
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      await stage.reset();
      const { wallMs } = await OURS.run({ corpus: resolve(corpus), port: stage.port });
      const { evaluation } = await evaluate(resolve(corpus));
      const relearn = wallMs / 1_000;
      const timeOrder = evaluation.timeOrder.seconds;
      const folds = evaluation.crossValidation.seconds;
      rounds.push({ relearn, timeOrder, folds });
      console.log(
        `round ${round}: relearn ${relearn.toFixed(1)} s, time order ${timeOrder.toFixed(1)} s, five folds ${folds.toFixed(1)} s`,
      );
    }
  } finally {
    await stage.stop();
  }
  const ratioOf = (part: 'timeOrder' | 'folds'): number =>
    spreadOf(rounds.map((round) => round[part] / round.relearn)).median;
  return [
    { what: 'time order', value: ratioOf('timeOrder'), unit: 'x relearn', atMost: MOST_TIME_ORDER },
    { what: 'five folds', value: ratioOf('folds'), unit: 'x relearn', atMost: MOST_FOLDS },
  ];
}

async function memory(count: number): Promise<readonly Row[]> {
  const few = await evaluate(made(count), '--folds', '2');
  const many = await evaluate(made(10 * count), '--folds', '2');
  return [
    { what: `peak RSS, ${count} messages`, value: few.run.peakMb, unit: 'MB' },
    {
      what: `peak RSS, ${10 * count} messages`,
      value: many.run.peakMb,
      unit: 'MB',
      atMost: Math.round(MOST_MEMORY * few.run.peakMb),
    },
  ];
}

async function evaluate(
  corpus: string,
  ...flags: readonly string[]
): Promise<{ readonly evaluation: Evaluation; readonly run: ClientRun }> {
  const run = await runClient({
    program: process.execPath,
    args: [BUNDLE, 'evaluate', '--json', '--quiet', ...flags, corpus],
    folder: mkdtempSync(join(scratch, 'run-')),
  });
  if (run.code !== 0) throw new Error(`evaluate ended with ${run.code}: ${run.stderr}`);
  return { evaluation: JSON.parse(run.stdout) as Evaluation, run };
}
