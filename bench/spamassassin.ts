/**
 * The daemon and SpamAssassin's spamd, each message proven, beside the least that a client can do (each
 * message told twice, one after the other) and beside the shell loop (one `sa-learn` a message).
 *
 *     npm run bench:spamassassin -- CORPUS [COUNT]
 *
 * CORPUS holds `spam/` and `ham/`. Every contender begins with an empty Bayes of the same spamd, which has
 * the rules that the package installs.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PrivateSpamd } from '../src/servers/private-spamd.ts';
import { SpamdClient } from '../src/trainers/spamassassin/tell.ts';
import { VERDICTS } from '../src/verdict.ts';
import type { Verdict } from '../src/verdict.ts';
import { MACHINE, columnsOf } from './table.ts';

/** The shell loop starts a second's work for each message: so many are enough. */
const SHELL_MESSAGES = 10;
const BUNDLE = 'dist/bundle/bin/kopano-learnd.mjs';

interface Letter {
  readonly verdict: Verdict;
  readonly path: string;
  readonly body: Buffer;
}

interface Result {
  readonly what: string;
  readonly messages: number;
  readonly seconds: number;
  /** CPU time of the client alone, its start included, in milliseconds a message. */
  readonly cpuMs: number;
}

const [, , corpus, wanted = '300'] = process.argv;
if (corpus === undefined) throw new Error('usage: npm run bench:spamassassin -- CORPUS [COUNT]');

const letters = lettersOf(resolve(corpus), Number(wanted));
const spamd = await PrivateSpamd.start({ packageRules: true });
const folder = mkdtempSync(join(tmpdir(), 'kopano-learnd-bench-'));
try {
  const results: Result[] = [];
  for (const measure of [tellTwice, daemon, shellLoop]) {
    await spamd.clear();
    results.push(await measure());
    const { spam, ham } = await spamd.counts();
    console.log(`${results.at(-1)?.what ?? ''}: Bayes has ${spam} spam and ${ham} ham`);
  }
  console.log(MACHINE);
  console.log(tableOf(results));
} finally {
  rmSync(folder, { recursive: true });
  await spamd[Symbol.asyncDispose]();
}

/** As many of each class, the first by their names. */
function lettersOf(from: string, count: number): readonly Letter[] {
  return VERDICTS.flatMap((verdict) =>
    readdirSync(join(from, verdict))
      .sort()
      .slice(0, count / 2)
      .map((name) => {
        const path = join(from, verdict, name);
        return { verdict, path, body: readFileSync(path) };
      }),
  );
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
    what: 'a bare loop of two TELLs',
    messages: letters.length,
    seconds: (performance.now() - from) / 1_000,
    cpuMs: (user + system) / 1_000 / letters.length,
  };
}

function daemon(): Promise<Result> {
  const lib = join(folder, 'lib');
  for (const verdict of VERDICTS) mkdirSync(join(lib, verdict), { recursive: true });
  letters.forEach(({ verdict, path }, index) => {
    const to = join(lib, verdict, `${index}.eml`);
    copyFileSync(path, to);
    chmodSync(to, 0o660);
  });
  const owner = process.getuid?.() === 0 ? '--user root' : '';
  const log = execFileSync('bash', ['-c', `node ${BUNDLE} ${owner} watch --once && times`], {
    encoding: 'utf8',
    env: {
      ...process.env,
      KOPANO_SPAMD_LIB: lib,
      LEARN_TRAINERS: 'spamassassin',
      SPAMD_URL: `spamd://127.0.0.1:${spamd.port}`,
      STATUS_LISTEN: 'off',
      LOG_FORMAT: 'json',
    },
  });
  const lines = log.split('\n').filter((line) => line.startsWith('{'));
  const times = lines.map((line) => JSON.parse(line) as { event: string; time: string });
  const ended = times.filter(({ event }) => event.startsWith('message.'));
  const at = (line: { time: string } | undefined): number => Date.parse(line?.time ?? '');
  const from = at(times.find(({ event }) => event === 'daemon.owner'));
  return Promise.resolve({
    what: 'the daemon',
    messages: ended.length,
    seconds: (at(ended.at(-1)) - from) / 1_000,
    cpuMs: (childSeconds(log) * 1_000) / letters.length,
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

async function shellLoop(): Promise<Result> {
  const some = letters.filter(
    (_, index) => index % Math.ceil(letters.length / SHELL_MESSAGES) === 0,
  );
  const from = performance.now();
  for (const { verdict, path } of some) await spamd.saLearn(`--${verdict}`, path);
  return {
    what: 'one sa-learn a message, unproven',
    messages: some.length,
    seconds: (performance.now() - from) / 1_000,
    cpuMs: NaN,
  };
}

function tableOf(results: readonly Result[]): string {
  const rate = ({ messages, seconds }: Result): number => messages / seconds;
  const ours = results.find(({ what }) => what === 'the daemon');
  return columnsOf([
    ['', 'messages', 'a second', 'client CPU a message', 'the daemon is faster'],
    ...results.map((each) => [
      each.what,
      String(each.messages),
      rate(each).toFixed(1),
      Number.isNaN(each.cpuMs) ? '-' : `${each.cpuMs.toFixed(1)} ms`,
      ours === undefined || ours === each ? '-' : `${(rate(ours) / rate(each)).toFixed(2)} x`,
    ]),
  ]);
}
