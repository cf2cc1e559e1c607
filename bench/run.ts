/**
 * All benchmarks, one after the other, and one table of what they say: `bench/README.md` explains it.
 *
 *   npm run bench -- [--corpus FOLDER] [--old FOLDER]
 *
 * `--corpus` names real mail (`spam/`, `ham/`); without it messages are made, and SpamAssassin, which wants
 * real ones, is left out. `--old` names another checkout in which `npm run bundle` was run: figures of both
 * builds come from the same rounds.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inScratch } from './scratch.ts';
import { printRows, type Row } from './table.ts';

const { values } = parseArgs({
  options: { corpus: { type: 'string' }, old: { type: 'string' } },
});
const from = values.corpus === undefined ? [] : ['--corpus', resolve(values.corpus)];
const beside = values.old === undefined ? [] : ['--old', resolve(values.old)];

const BENCHES: Readonly<Record<string, readonly string[] | undefined>> = {
  start: beside,
  health: ['--rounds', '20'],
  relearn: ['--rounds', '3', ...from, ...beside],
  dropped: ['--rounds', '1', ...beside],
  backlog: ['--learn-seconds', '10', '--idle-seconds', '10'],
  controllers: ['--messages', '500'],
  evaluate: ['--rounds', '1', ...from],
  spamassassin: from[1] === undefined ? undefined : [from[1], '100'],
};

const rows: Row[] = [];
const leftOut: string[] = [];
const begunAt = performance.now();
await inScratch((folder) => {
  for (const [name, args] of Object.entries(BENCHES)) {
    const file = join(folder, name);
    if (args === undefined) leftOut.push(`${name} (it needs --corpus)`);
    else if (run(name, args, file)) rows.push(...rowsIn(file));
    else leftOut.push(`${name} (it failed)`);
  }
});
const minutes = ((performance.now() - begunAt) / 60_000).toFixed(1);
printRows(`All benches, in ${minutes} minutes`, rows);
for (const each of leftOut) console.log(`left out: ${each}`);

function run(name: string, args: readonly string[], file: string): boolean {
  console.log(`\n== ${name} ${args.join(' ')}`);
  const script = fileURLToPath(new URL(`${name}.js`, import.meta.url));
  const env = { ...process.env, BENCH_ROWS: file };
  return spawnSync(process.execPath, [script, ...args], { stdio: 'inherit', env }).status === 0;
}

function rowsIn(file: string): Row[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Row);
}
