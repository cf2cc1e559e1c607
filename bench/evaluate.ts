/**
 * The benchmark of `evaluate`: its time order and its five folds beside `relearn` of the same corpus
 * in the same round, and its memory with ten times the messages. Prints figures beside their targets;
 * a missed target is no failure, because the machine has a say in it.
 *
 *   npm run bench:evaluate -- [--corpus FOLDER | --messages N] [--rounds N] [--memory | --turned]
 *
 * The corpus is any folder with `spam/` and `ham/`; without one it is made, N messages in all.
 * `--memory` measures memory alone, with N and ten times N made messages and two folds. `--turned` turns
 * one verdict of a hundred, others in each round, and counts how many of them lead the disputed list.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Evaluation } from '../src/evaluate/evaluation.ts';
import { otherVerdict } from '../src/evaluate/collection.ts';
import { makeMessages } from '../test/lab/messages.ts';
import { runClient, type ClientRun } from './client-run.ts';
import { OURS } from './relearn-contenders.ts';
import { RelearnStage } from './relearn-stage.ts';
import { BUNDLE, inScratch, layOut } from './scratch.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, printRows, row, type Row } from './table.ts';

const MOST_TIME_ORDER = 1.6;
/** Four times the learning, and one of judging. */
const MOST_FOLDS = 4.8;
const MOST_MEMORY = 1.2;
/** Of 39 turned verdicts of 3,896 at least 30 are among the first 39 disputed, and 36 among 60. */
const TURNED_SHARE = 0.01;
const LEAST_FIRST = 30 / 39;
const LEAST_NEXT = 36 / 39;
const NEXT = 60 / 39;

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    messages: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'boolean', default: false },
    turned: { type: 'boolean', default: false },
  },
});
await inScratch(async (scratch) => printRows(`${MACHINE}; medians`, await measured(scratch)));

async function measured(scratch: string): Promise<readonly Row[]> {
  const messages = Number(values.messages);
  if (values.memory) return memory(scratch, messages);
  const corpus = resolve(values.corpus ?? made(scratch, messages));
  return values.turned ? turned(corpus) : speed(corpus);
}

/** A corpus of so many made messages. */
function made(scratch: string, count: number): string {
  const messages = (['spam', 'ham'] as const).flatMap((each) => makeMessages(each, count / 2));
  return layOut(join(scratch, String(count)), messages);
}

async function speed(corpus: string): Promise<readonly Row[]> {
  const stage = await RelearnStage.start();
  const rounds: { readonly relearn: number; readonly timeOrder: number; readonly folds: number }[] =
    [];
  try {
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      await stage.reset();
      const { wallMs } = await OURS.run({ corpus, port: stage.port });
      const { evaluation } = await evaluate(corpus);
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
    row('time order', ratioOf('timeOrder'), 'x relearn', { atMost: MOST_TIME_ORDER }),
    row('five folds', ratioOf('folds'), 'x relearn', { atMost: MOST_FOLDS }),
  ];
}

async function memory(scratch: string, count: number): Promise<readonly Row[]> {
  const few = await evaluate(made(scratch, count), '--folds', '2');
  const many = await evaluate(made(scratch, 10 * count), '--folds', '2');
  return [
    row(`peak RSS, ${count} messages`, few.run.peakMb, 'MB'),
    row(`peak RSS, ${10 * count} messages`, many.run.peakMb, 'MB', {
      atMost: Math.round(MOST_MEMORY * few.run.peakMb),
    }),
  ];
}

async function turned(corpus: string): Promise<readonly Row[]> {
  const first: number[] = [];
  const next: number[] = [];
  let count = 0;
  for (let seed = 1; seed <= Number(values.rounds); seed += 1) {
    const { paths, disputed } = await inScratch(async (folder) => {
      const paths = copyTurned(corpus, folder, seed);
      return { paths, disputed: (await evaluate(folder)).evaluation.disputed };
    });
    const places = disputed.messages.map(({ place }) => place);
    const found = (among: number): number =>
      places.slice(0, Math.round(among)).filter((place) => paths.has(place)).length;
    count = paths.size;
    first.push(found(count));
    next.push(found(count * NEXT));
    console.log(
      `seed ${seed}: of ${count} turned ${found(count)} are among the first ${count} disputed, ` +
        `${found(count * NEXT)} among ${Math.round(count * NEXT)}; ${disputed.count} in all`,
    );
  }
  const fewest = (among: number, found: readonly number[], share: number): Row =>
    row(`turned among ${among}, fewest`, Math.min(...found), `of ${count}`, {
      atLeast: Math.round(share * count),
    });
  return [fewest(count, first, LEAST_FIRST), fewest(Math.round(count * NEXT), next, LEAST_NEXT)];
}

/** Copies the corpus, some messages to the other class, drawn by the seed. @returns where those lie */
function copyTurned(corpus: string, folder: string, seed: number): ReadonlySet<string> {
  layOut(folder);
  const messages = (['spam', 'ham'] as const).flatMap((verdict) =>
    readdirSync(join(corpus, verdict)).map((name) => ({ verdict, name })),
  );
  const placeOf = ({ verdict, name }: (typeof messages)[number]): string =>
    createHash('sha256').update(`${seed} ${verdict}/${name}`).digest('hex');
  const drawn = messages
    .toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
    .slice(0, Math.round(TURNED_SHARE * messages.length));
  const paths = new Set<string>();
  for (const message of messages) {
    const { verdict, name } = message;
    const isTurned = drawn.includes(message);
    const path = join(folder, isTurned ? otherVerdict(verdict) : verdict, `${verdict}-${name}`);
    if (isTurned) paths.add(path);
    copyFileSync(join(corpus, verdict, name), path);
  }
  return paths;
}

async function evaluate(
  corpus: string,
  ...flags: readonly string[]
): Promise<{ readonly evaluation: Evaluation; readonly run: ClientRun }> {
  // as it is started by its name: with the flags that its first line has for evaluate
  const args = ['evaluate', '--json', '--quiet', ...flags, corpus];
  const run = await inScratch((folder) => runClient({ program: BUNDLE, args, folder }));
  if (run.code !== 0) throw new Error(`evaluate ended with ${run.code}: ${run.stderr}`);
  return { evaluation: JSON.parse(run.stdout) as Evaluation, run };
}
