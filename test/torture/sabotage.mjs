/**
 * Shows that the suites can fail: breaks the program in one place at a time, in a copy of the
 * project, and runs the suite that guards it. Each sabotage has to turn its suite red.
 *
 *   npm run sabotage                 all of them: takes a while
 *   npm run sabotage -- kill model   those of these suites, or with these words in their names
 *   npm run sabotage -- --places     none: tells which have lost their place in the source
 *
 * The last line is "N passed, N failed"; a sabotage that no test noticed has failed, and so has one
 * whose place is no longer in the source.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
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
if (wanted[0] === '--places') {
  const lost = SABOTAGES.filter((each) => placeOf(path.join(PROJECT, 'src'), each) === undefined);
  for (const { suite, name } of lost)
    console.log(`${suite}: ${name}: its place is not once in src/`);
  process.exit(lost.length > 0 ? 1 : 0);
}
const isWanted = ({ suite, name }) =>
  wanted.length === 0 || wanted.some((word) => word === suite || name.includes(word));
const chosen = SABOTAGES.filter(isWanted);
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
function trySabotage(sabotage) {
  const { suite, only } = sabotage;
  const folder = mkdtempSync(path.join(tmpdir(), 'learnd-sabotage-'));
  // The tests' writer has a user of its own.
  chmodSync(folder, 0o755);
  try {
    for (const name of [...COPIED, ...ALSO]) {
      cpSync(path.join(PROJECT, name), path.join(folder, name), { recursive: true });
    }
    symlinkSync(path.join(PROJECT, 'node_modules'), path.join(folder, 'node_modules'));
    if (!sabotageOnce(path.join(folder, 'src'), sabotage)) {
      return { isNoticed: false, says: 'its place is not once in src/' };
    }
    const build = run(folder, ['npm', 'run', '--silent', 'build']);
    if (build.status !== 0) return { isNoticed: false, says: 'the compiler noticed first' };
    const report = path.join(folder, 'report.json');
    const reporters = ['--reporter=json', `--outputFile=${report}`];
    const names = only === undefined ? [] : ['-t', only];
    run(folder, ['npx', 'vitest', 'run', `test/torture/${suite}/`, ...names, ...reporters]);
    return judge(JSON.parse(readFileSync(report, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Changes the one place that a sabotage names. */
function sabotageOnce(source, sabotage) {
  const place = placeOf(source, sabotage);
  if (place === undefined) return false;
  const { insert, replace } = sabotage;
  writeFileSync(place.file, place.before + (insert ?? replace) + place.after);
  return true;
}

/** The file with the place, and what stands before and behind it; `undefined` unless it is there once. */
function placeOf(source, { at, find }) {
  const files = readdirSync(source, { recursive: true }).filter((name) => name.endsWith('.ts'));
  const hits = files.flatMap((name) => {
    const file = path.join(source, name);
    const parts = readFileSync(file, 'utf8').split(at === undefined ? find : headOf(at));
    return parts.length === 1 ? [] : [{ file, parts }];
  });
  const [hit] = hits;
  if (hits.length !== 1 || hit.parts.length !== (at === undefined ? 2 : 3)) return undefined;
  const after = hit.parts.pop();
  return { file: hit.file, before: hit.parts.join(''), after };
}

/** What a function, or a method of a class, begins with, as a part that `split` keeps. */
function headOf(at) {
  const [name, owner] = at.split('.').reverse();
  const start =
    owner === undefined
      ? String.raw`function ${name}\b`
      : String.raw`class ${owner}\b[^]*?\n  (?:async )?${name}\(`;
  return new RegExp(String.raw`(${start}[^]*?\{\n)`);
}

function judge(report) {
  const red = report.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'failed')
    .map(({ fullName }) => fullName);
  if (red.length === 0) return { isNoticed: false, says: `${report.numPassedTests} tests passed` };
  return { isNoticed: true, says: `${red.length} failed, the first of them "${red[0]}"` };
}

function run(cwd, [program, ...args]) {
  const stdio = ['ignore', 'ignore', 'pipe'];
  return spawnSync(program, args, { cwd, stdio, timeout: 600_000 });
}
