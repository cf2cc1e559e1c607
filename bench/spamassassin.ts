/**
 * The daemon and SpamAssassin, each message proven, beside the least that a client can do:
 *
 * - by spamd: each message told twice, one after the other;
 * - by `sa-learn`: two runs of `sa-learn -f` over the same list; and one over two folders, unproven;
 * - both beside the shell loop (one `sa-learn` a message), unproven.
 *
 *     npm run bench:spamassassin -- CORPUS [COUNT] [ROUNDS]
 *
 * CORPUS holds `spam/` and `ham/`. Every contender begins with an empty Bayes of the same spamd, which has
 * the rules that the package installs. Figures are medians.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PrivateSpamd } from '../test/lab/private-spamd.ts';
import { SpamdClient } from '../src/trainers/spamassassin/tell.ts';
import { VERDICTS } from '../src/verdict.ts';
import type { Verdict } from '../src/verdict.ts';
import { BUNDLE } from './scratch.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, beside, columnsOf, printRows, row, type Row } from './table.ts';

/** The shell loop starts a second's work for each message: so many are enough. */
const SHELL_MESSAGES = 10;

interface Letter {
  readonly verdict: Verdict;
  readonly path: string;
  readonly body: Buffer;
}

interface Result {
  readonly messages: number;
  readonly seconds: number;
  /** CPU time in milliseconds a message, without spamd's and without the start of our own program. */
  readonly cpuMs: number;
}

const [, , corpus, wanted = '300', rounds = '1'] = process.argv;
if (corpus === undefined) {
  throw new Error('usage: npm run bench:spamassassin -- CORPUS [COUNT] [ROUNDS]');
}

const spamd = await PrivateSpamd.start({ packageRules: true });
const folder = mkdtempSync(join(tmpdir(), 'kopano-learnd-bench-'));
// For the user of Bayes, too.
chmodSync(folder, 0o755);
const letters = lettersOf(resolve(corpus), Number(wanted));
const bare = 'a bare loop of two TELLs';
const lists = 'two bare runs of sa-learn -f';
const contenders: Readonly<Record<string, () => Result | Promise<Result>>> = {
  [bare]: tellTwice,
  'the daemon, by spamd': () => daemon(`spamd://127.0.0.1:${spamd.port}`),
  [lists]: () => saLearn('-f', listFile(), '&&', '-f', listFile()),
  'the daemon, by sa-learn': () => daemon(`exec:${saLearnProgram()}`),
  'sa-learn on two folders, unproven': () =>
    saLearn('--spam', join(folder, 'spam'), '&&', '--ham', join(folder, 'ham')),
  'one sa-learn a message, unproven': shellLoop,
};
const results = new Map<string, Result[]>(Object.keys(contenders).map((name) => [name, []]));
try {
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const [name, measure] of Object.entries(contenders)) {
      await spamd.clear();
      const result = await measure();
      results.get(name)?.push(result);
      const { spam, ham } = await spamd.counts();
      const load = loadavg()[0]?.toFixed(1) ?? '?';
      const took = `${result.messages} messages in ${result.seconds.toFixed(1)} s`;
      console.log(`${name}: ${took}; Bayes has ${spam} spam and ${ham} ham; load ${load}`);
    }
  }
  console.log(table());
  printRows(MACHINE, [
    rowOf('the daemon, by spamd', bare),
    rowOf('the daemon, by sa-learn', lists),
  ]);
} finally {
  rmSync(folder, { recursive: true });
  await spamd[Symbol.asyncDispose]();
}

/** As many of each class, the first by their names; copies, which anybody may read. */
function lettersOf(from: string, count: number): readonly Letter[] {
  return VERDICTS.flatMap((verdict) => {
    mkdirSync(join(folder, verdict));
    return readdirSync(join(from, verdict))
      .sort()
      .slice(0, count / 2)
      .map((name, index) => {
        const path = join(folder, verdict, `${index}.eml`);
        copyFileSync(join(from, verdict, name), path);
        chmodSync(path, 0o644);
        return { verdict, path, body: readFileSync(path) };
      });
  });
}

async function tellTwice(): Promise<Result> {
  const address = {
    name: 'spamd',
    host: '127.0.0.1',
    port: spamd.port,
    tls: false,
  };
  const client = new SpamdClient({ address, user: undefined, timeoutMs: 60_000 });
  const never = new AbortController().signal;
  const [cpu, from] = [process.cpuUsage(), performance.now()];
  for (const { verdict, body } of letters) {
    for (let times = 0; times < 2; times += 1)
      await client.tell({ set: 'local', verdict, body }, never);
  }
  const { user, system } = process.cpuUsage(cpu);
  return {
    messages: letters.length,
    seconds: (performance.now() - from) / 1_000,
    cpuMs: (user + system) / 1_000 / letters.length,
  };
}

/** From taking the spool over to the end of the last message. */
function daemon(url: string): Result {
  const start = childSeconds(logOf(url, []));
  const log = logOf(url, letters);
  const lines = log.split('\n').filter((line) => line.startsWith('{'));
  const times = lines.map((line) => JSON.parse(line) as { event: string; time: string });
  const ended = times.filter(({ event }) => event.startsWith('message.'));
  const at = (line: { time: string } | undefined): number => Date.parse(line?.time ?? '');
  const from = at(times.find(({ event }) => event === 'daemon.owner'));
  return {
    messages: ended.length,
    seconds: (at(ended.at(-1)) - from) / 1_000,
    cpuMs: ((childSeconds(log) - start) * 1_000) / letters.length,
  };
}

/** Lets whoever Bayes belongs to learn what waits. @returns the log, and bash's `times` */
function logOf(url: string, waiting: readonly Letter[]): string {
  const { uid, gid } = statSync(join(spamd.folder, 'bayes'));
  const [lib, state] = [join(folder, 'lib'), join(folder, 'state')];
  for (const place of [lib, state]) rmSync(place, { recursive: true, force: true });
  const places = [lib, state, ...VERDICTS.map((verdict) => join(lib, verdict))];
  for (const place of places) {
    mkdirSync(place, { mode: 0o700 });
    chownSync(place, uid, gid);
  }
  waiting.forEach(({ verdict, path }, index) => {
    const to = join(lib, verdict, `${index}.eml`);
    copyFileSync(path, to);
    chmodSync(to, 0o660);
    chownSync(to, uid, gid);
  });
  const owner = process.getuid?.() === 0 ? `--user ${uid}` : '';
  return execFileSync('bash', ['-c', `node ${BUNDLE} ${owner} watch --once && times`], {
    encoding: 'utf8',
    env: {
      ...process.env,
      KOPANO_SPAMD_LIB: lib,
      LEARN_STATE_DIR: state,
      LEARN_TRAINERS: 'spamassassin',
      SPAMD_URL: url,
      STATUS_LISTEN: 'off',
      LOG_FORMAT: 'json',
    },
  });
}

/** The second line of bash's `times`: user and system time of its children. */
function childSeconds(text: string): number {
  const found = [...text.matchAll(/(\d+)m([\d.]+)s/g)].slice(-2);
  return found.reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
}

/** Runs `sa-learn` with the words up to each `&&`. */
function saLearn(...words: readonly string[]): Result {
  const commands = words.map((word) => (word === '&&' ? `&& ${saLearnProgram()}` : word)).join(' ');
  const isRoot = process.getuid?.() === 0;
  const { uid } = statSync(join(spamd.folder, 'bayes'));
  const line = `${saLearnProgram()} ${commands} && times`;
  const become = isRoot ? ['setpriv', '--reuid', String(uid), '--clear-groups'] : [];
  const [program, ...args] = [...become, 'bash', '-c', line];
  const env = { ...process.env, HOME: join(spamd.folder, 'home') };
  const from = performance.now();
  const said = execFileSync(program, args, { encoding: 'utf8', cwd: '/', env });
  return {
    messages: letters.length,
    seconds: (performance.now() - from) / 1_000,
    cpuMs: (childSeconds(said) * 1_000) / letters.length,
  };
}

/** A program that is `sa-learn` with spamd's rules and Bayes. */
function saLearnProgram(): string {
  const program = join(folder, 'sa-learn');
  const words = ['sa-learn', '-L', '--max-size', '0', ...spamd.places];
  writeFileSync(program, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}

function listFile(): string {
  const list = join(folder, 'list');
  writeFileSync(list, letters.map(({ verdict, path }) => `${verdict}:file:${path}\n`).join(''));
  return list;
}

async function shellLoop(): Promise<Result> {
  const some = letters.filter(
    (_, index) => index % Math.ceil(letters.length / SHELL_MESSAGES) === 0,
  );
  const from = performance.now();
  for (const { verdict, path } of some) await spamd.saLearn(`--${verdict}`, path);
  return {
    messages: some.length,
    seconds: (performance.now() - from) / 1_000,
    cpuMs: NaN,
  };
}

function median(name: string, figure: (result: Result) => number): number {
  return spreadOf((results.get(name) ?? []).map(figure)).median;
}

function rate(name: string): number {
  return median(name, ({ messages, seconds }) => messages / seconds);
}

function rowOf(name: string, peer: string): Row {
  return row(name, rate(name), '/s', beside(peer, rate(peer)));
}

function table(): string {
  const ratio = (name: string, to: string): string => `${(rate(name) / rate(to)).toFixed(2)} x`;
  return columnsOf([
    ['', 'a second', 'CPU a message', 'to two TELLs', 'to two runs', 'to the shell loop'],
    ...Object.keys(contenders).map((name) => {
      const cpu = median(name, ({ cpuMs }) => cpuMs);
      return [
        name,
        rate(name).toFixed(1),
        Number.isNaN(cpu) ? '-' : `${cpu.toFixed(1)} ms`,
        ratio(name, bare),
        ratio(name, lists),
        ratio(name, 'one sa-learn a message, unproven'),
      ];
    }),
  ]);
}
