/**
 * Shows that the suites can fail: breaks the program in one place at a time, in a copy of the
 * project, and runs the suite that guards it. Each sabotage has to turn its suite red.
 *
 *   npm run sabotage                 all of them: takes a while
 *   npm run sabotage -- kill model   those of these suites
 *
 * The last line is "N passed, N failed"; a sabotage that no test noticed has failed, and so has one
 * whose text is no longer in the source.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SABOTAGES } from './sabotages.mjs';

const PROJECT = path.join(import.meta.dirname, '../..');
const COPIED = ['src', 'test', 'service', 'scripts', 'package.json', 'tsconfig.json'];
const ALSO = [
  'package-lock.json',
  'tsconfig.build.json',
  'vitest.config.ts',
  'README.md',
  'Dockerfile.fragment',
];

const wanted = process.argv.slice(2);
const chosen = SABOTAGES.filter(({ suite }) => wanted.length === 0 || wanted.includes(suite));
let passed = 0;
let failed = 0;
for (const sabotage of chosen) {
  const verdict = trySabotage(sabotage);
  if (verdict.isNoticed) passed += 1;
  else failed += 1;
  const mark = verdict.isNoticed ? 'red  ' : 'GREEN';
  console.log(`${mark}  ${sabotage.suite}: ${sabotage.name}: ${verdict.says}`);
}
if (chosen.length === 0) failed += 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** Breaks a copy, builds it and runs the suite. */
function trySabotage({ suite, seed, changes, test = testOf(suite), only }) {
  const folder = mkdtempSync(path.join(tmpdir(), 'learnd-sabotage-'));
  // The tests' writer has a user of its own.
  chmodSync(folder, 0o755);
  try {
    for (const name of [...COPIED, ...ALSO]) {
      cpSync(path.join(PROJECT, name), path.join(folder, name), { recursive: true });
    }
    symlinkSync(path.join(PROJECT, 'node_modules'), path.join(folder, 'node_modules'));
    for (const { file, find, replace } of changes) {
      const place = path.join(folder, file);
      const text = readFileSync(place, 'utf8');
      if (text.split(find).length !== 2) return { isNoticed: false, says: `not once in ${file}` };
      writeFileSync(
        place,
        text.replace(find, () => replace),
      );
    }
    const build = run(folder, ['npm', 'run', '--silent', 'build']);
    if (build.status !== 0) return { isNoticed: false, says: 'the compiler noticed first' };
    const report = path.join(folder, 'report.json');
    const reporters = ['--reporter=json', `--outputFile=${report}`];
    const names = only === undefined ? [] : ['-t', only];
    run(folder, ['npx', 'vitest', 'run', test, ...names, ...reporters], seed);
    return judge(JSON.parse(readFileSync(report, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A suite lies in the folder of its first word. */
function testOf(suite) {
  const [folder] = suite.split('-');
  return `test/torture/${folder}/${suite}.test.ts`;
}

function judge(report) {
  const red = report.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'failed')
    .map(({ fullName }) => fullName);
  if (red.length === 0) return { isNoticed: false, says: `${report.numPassedTests} tests passed` };
  return { isNoticed: true, says: `${red.length} failed, the first of them "${red[0]}"` };
}

function run(cwd, [program, ...args], seed) {
  const env = seed === undefined ? process.env : { ...process.env, TEST_SEED: String(seed) };
  const stdio = ['ignore', 'ignore', 'pipe'];
  return spawnSync(program, args, { cwd, env, stdio, timeout: 600_000 });
}
