/**
 * The dropped benchmark: messages that lie there all at once, and some that come one by one, for a
 * daemon that runs already. Beside it the shell loop that it replaces (`rspamc` and `rm` for each
 * file), which proves nothing, an older build, and what any client could reach: rspamc with eight in
 * flight, which posts each message twice and costs next to nothing.
 *
 *   npm run bench:dropped -- [--messages N] [--rounds N] [--seconds N] [--old FOLDER] [--stub]
 *
 * `--old` names another checkout in which `npm run bundle` was run; the builds take turns. `--stub`
 * lets a stub that costs next to nothing take the place of rspamd and Redis, and leaves out the loop.
 */
import { chmodSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeMessages } from '../test/lab/messages.ts';
import { until, withChildren } from './children.ts';
import { runClient } from './client-run.ts';
import { cpuMsOf, memoryOf } from './process-figures.ts';
import { RelearnStage } from './relearn-stage.ts';
import { BUNDLE, bundleIn, inScratch, layOut } from './scratch.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, printRows, type Row } from './table.ts';

/** The gate's own time for a file with the finishing mark. */
const GATE_MS = 200;
const TRICKLE_MS = 100;
const POLL_MS = 1;
const SHELL_LOOP = `
for file in spam/* ham/*; do
  rspamc -h "$1" --header Learn-Type=bulk "learn_\${file%%/*}" "$file" && rm "$file"
done`;
const POSTED_TWICE = `
for turn in 1 2; do
  for class in spam ham; do
    rspamc -n 8 -h "$1" --header Learn-Type=bulk "learn_$class" "$class" || exit 1
  done
done`;

interface Burst {
  readonly ms: number;
  /** Of the daemon, its start included. */
  readonly cpuMs: number;
  readonly serverCpuMs: { readonly rspamd: number; readonly redis: number };
  readonly peakMb: number;
  /** From the mark to the disposal, of those that came one by one. */
  readonly latencies: readonly number[];
}

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    old: { type: 'string' },
    stub: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const count = Number(values.messages);
const letters = (['spam', 'ham'] as const).flatMap((each) => makeMessages(each, count / 2));
const old = bundleIn(values.old);
const profile = values.profile && resolve(values.profile);
const builds = new Map([...(old === undefined ? [] : [['old', old] as const]), ['new', BUNDLE]]);

const NO_SERVERS = { rspamd: 0, redis: 0 };
const stage = values.stub ? undefined : await RelearnStage.start();
try {
  const bursts = new Map<string, Burst[]>([...builds.keys()].map((name) => [name, []]));
  const [loops, ceilings]: [number[], number[]] = [[], []];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [name, program] of builds) {
      await stage?.reset();
      const burst = await dropAll(program);
      bursts.get(name)?.push(burst);
      const { ms, cpuMs, peakMb, latencies } = burst;
      console.log(
        `${name}: ${Math.round(ms)} ms, ${(cpuMs / count).toFixed(2)} ms of CPU each, ${peakMb.toFixed(0)} MB, trickle p50 ${percentile(latencies, 50).toFixed(0)} p99 ${percentile(latencies, 99).toFixed(0)} ms`,
      );
    }
    if (stage === undefined) continue;
    await stage.reset();
    loops.push(await shellLoop(stage.port));
    await stage.reset();
    ceilings.push(await postedTwice(stage.port));
    console.log(
      `shell loop: ${whole(loops.at(-1))} ms; rspamc, twice: ${whole(ceilings.at(-1))} ms`,
    );
  }
  printRows(`${MACHINE}; medians`, rowsOf(bursts, loops, ceilings));
} finally {
  await stage?.stop();
}

/** The figures of the newer build, with the older one as their peer. */
function rowsOf(
  bursts: ReadonlyMap<string, readonly Burst[]>,
  loops: readonly number[],
  ceilings: readonly number[],
): readonly Row[] {
  const median = (numbers: readonly number[]): number => spreadOf(numbers).median;
  const [first, last = first] = [...bursts];
  const row = (what: string, unit: string, figure: (burst: Burst) => number, target = {}): Row => ({
    ...{ what, unit, ...target },
    value: median((last?.[1] ?? []).map(figure)),
    ...(first !== undefined &&
      first !== last && { peer: { name: first[0], value: median(first[1].map(figure)) } }),
  });
  return [
    row(`${count} at once, the last one disposed of`, 's', ({ ms }) => ms / 1_000),
    ...(loops.length === 0
      ? []
      : [
          row('  as fast as the shell loop', 'x', ({ ms }) => median(loops) / ms, { atLeast: 5 }),
          row('  as fast as rspamc -n 8, twice', 'x', ({ ms }) => median(ceilings) / ms),
        ]),
    row('  CPU a message, the start included', 'ms', ({ cpuMs }) => cpuMs / count),
    row('  of rspamd', 'ms', ({ serverCpuMs }) => serverCpuMs.rspamd / count),
    row('  of Redis', 'ms', ({ serverCpuMs }) => serverCpuMs.redis / count),
    row('  peak RSS', 'MB', ({ peakMb }) => peakMb),
    row(
      'one by one, p50 beyond the gate',
      'ms',
      ({ latencies }) => percentile(latencies, 50) - GATE_MS,
      { atMost: 25 },
    ),
    row('  p99', 'ms', ({ latencies }) => percentile(latencies, 99) - GATE_MS),
  ];
}

/** A daemon from its start until all is learned, then a trickle. */
function dropAll(program: string): Promise<Burst> {
  return withChildren(async (children, folder) => {
    const lib = layOut(join(folder, 'lib'));
    const aside = layOut(join(folder, 'aside'), letters);
    const port = stage?.port ?? (await children.helper('stub-controller'))[0];
    const daemon = await children.daemon({ lib, port: String(port), profile, program });
    const { process: child, counts, firstAt } = daemon;
    await until('the daemon', child, () => firstAt.has('daemon.owner'));
    const learned = (): number => counts.get('message.learned') ?? 0;
    const [before, startedAt] = [stage?.serverCpuMs() ?? NO_SERVERS, performance.now()];
    for (const { verdict, name } of letters) {
      renameSync(join(aside, verdict, name), join(lib, verdict, name));
    }
    await until('all messages', child, () => learned() >= count);
    const after = stage?.serverCpuMs() ?? NO_SERVERS;
    const burst = {
      ms: (daemon.lastAt.get('message.learned') ?? NaN) - startedAt,
      cpuMs: cpuMsOf(child.pid),
      serverCpuMs: { rspamd: after.rspamd - before.rspamd, redis: after.redis - before.redis },
      peakMb: memoryOf(child.pid).peakMb,
      latencies: await trickle(lib),
    };
    // Its profile is written when it ends.
    await children.stopAll();
    return burst;
  });
}

/** Ten messages a second, written as kopano-spamd does it. */
async function trickle(lib: string): Promise<readonly number[]> {
  const seconds = Number(values.seconds);
  const later = makeMessages('ham', seconds * 10, count);
  const latencies: Promise<number>[] = [];
  for (const { name, raw } of later) {
    const file = join(lib, 'ham', name);
    writeFileSync(file, raw);
    chmodSync(file, 0o660);
    latencies.push(untilGone(lib, name, performance.now()));
    await sleep(TRICKLE_MS);
  }
  return Promise.all(latencies);
}

async function untilGone(lib: string, name: string, markedAt: number): Promise<number> {
  const places = [join(lib, 'ham', name), join(lib, '.learnd/queue/ham', name)];
  while (places.some((place) => existsSync(place))) await sleep(POLL_MS);
  return performance.now() - markedAt;
}

async function shellLoop(port: number): Promise<number> {
  const { wallMs, left } = await inShell(SHELL_LOOP, port);
  if (left > 0) throw new Error(`the shell loop left ${left} messages`);
  return wallMs;
}

async function postedTwice(port: number): Promise<number> {
  const { wallMs } = await inShell(POSTED_TWICE, port);
  return wallMs;
}

/** Runs a script of the shell where the messages lie. */
function inShell(script: string, port: number): Promise<{ wallMs: number; left: number }> {
  return inScratch(async (folder) => {
    layOut(folder, letters);
    const args = ['-c', script, 'loop', `127.0.0.1:${port}`];
    const { wallMs } = await runClient({ program: '/bin/sh', args, folder });
    const left = letters.filter(({ verdict, name }) => existsSync(join(folder, verdict, name)));
    return { wallMs, left: left.length };
  });
}

function whole(ms = NaN): string {
  return ms.toFixed(0);
}

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? NaN;
}
