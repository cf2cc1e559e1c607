import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { FINAL_RESULTS } from '../delivery/result.ts';
import { clean, plural } from '../text.ts';
import { createTrainers } from '../trainers/create.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { askStatus } from './client.ts';
import { countPlace, countSpool } from './counts.ts';
import type { Numbers, SpoolCounts, UncountedFolder } from './counts.ts';
import { obstacleOf, probe } from './probe.ts';
import { bayesIn, bayesOf } from './reports.ts';
import type { DaemonReport } from './reports.ts';

/**
 * `kopano-learnd status`: what waits in the folders, what the running daemon has done since its
 * start, and what rspamd says. It counts and asks by itself, so that it works without a daemon; it
 * makes nothing and changes nothing.
 */
export interface StatusOptions {
  readonly config: Config;
  /** One JSON object instead of a text. */
  readonly json: boolean;
  readonly out: (text: string) => void;
  readonly stop: AbortSignal;
}

/** What `status --json` prints, and what its text is made of. */
export interface Overview extends SpoolCounts {
  readonly spool: string;
  readonly stateDir: string;
  readonly archived: Numbers;
  /** Folders that can't be counted. */
  readonly faults: readonly UncountedFolder[];
  readonly daemon: RunningDaemon;
  readonly rspamd: readonly {
    /** As in RSPAMD_URL. */
    readonly name: string;
    /** It answers, and shows its statistics with a Bayes backend in them. */
    readonly reachable: boolean;
    /** Why not. */
    readonly obstacle: string | null;
  }[];
  readonly bayes: BayesProgress;
}

/** The daemon of this spool, as it answers at STATUS_LISTEN. */
export type RunningDaemon =
  | { readonly kind: 'running'; readonly report: DaemonReport }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface BayesProgress {
  /** Learned messages, as rspamd says; `null` where it doesn't. */
  readonly learned: Numbers;
  readonly minLearns: number;
  /** How many are still to be learned until then. */
  readonly missing: Numbers;
}

/** @returns 0, whatever it finds; 1 when it was stopped */
export async function status({ config, json, out, stop }: StatusOptions): Promise<ExitCode> {
  const overview = await overviewOf(config, stop);
  // What was cut short was not answered, and must not be told as such.
  if (stop.aborted) return EXIT.failure;
  out(json ? `${JSON.stringify(overview, undefined, 2)}\n` : overviewText(overview));
  return EXIT.done;
}

async function overviewOf(config: Config, stop: AbortSignal): Promise<Overview> {
  const { spool } = config;
  const asked = Promise.all([runningDaemon(config, stop), askControllers(config, stop)]);
  const uncounted = new Map<string, UncountedFolder>();
  const counts = await countSpool(spool, uncounted);
  const archived = await countPlace(spool, 'archive', uncounted);
  const [daemon, controllers] = await asked;
  const learned = bayesOf(controllers);
  const missing = (verdict: Verdict): number | null =>
    learned[verdict] === null ? null : Math.max(0, MIN_LEARNS - learned[verdict]);
  return {
    spool: spool.libDir,
    stateDir: spool.stateDir,
    ...counts,
    archived,
    faults: [...uncounted.values()],
    daemon,
    rspamd: controllers.map(({ name, obstacle }) => ({
      name,
      reachable: obstacle === null,
      obstacle,
    })),
    bayes: {
      learned,
      minLearns: MIN_LEARNS,
      missing: { spam: missing('spam'), ham: missing('ham') },
    },
  };
}

async function runningDaemon(
  { statusListen, spool }: Config,
  stop: AbortSignal,
): Promise<RunningDaemon> {
  const answer = await askStatus(statusListen, stop);
  if (answer.kind !== 'running') return { kind: 'unknown', reason: answer.reason };
  const { report } = answer;
  if (report.spool !== spool.libDir) {
    return { kind: 'unknown', reason: `the one that runs has another spool (${report.spool})` };
  }
  if (report.stateDir !== spool.stateDir) {
    const reason = `the one that runs has another state dir (${report.stateDir})`;
    return { kind: 'unknown', reason };
  }
  return answer;
}

function askControllers(config: Config, stop: AbortSignal) {
  return Promise.all(
    createTrainers(config).map(async (trainer) => {
      const seen = await probe(trainer, systemClock, stop);
      const unheardOf = { state: 'starting', reason: undefined, isWanted: false } as const;
      const obstacle = obstacleOf({ ...unheardOf, probe: seen }) ?? null;
      return { name: trainer.name, obstacle, bayes: bayesIn(seen) };
    }),
  );
}

// --- the text

function overviewText(overview: Overview): string {
  const { dropped, queued, quarantined, released, archived, faults } = overview;
  const lines = [
    `spool: ${overview.spool}`,
    `state dir: ${overview.stateDir}`,
    '',
    tableRow('', { spam: 'spam', ham: 'ham' }),
    tableRow('dropped', dropped, 'in the drop directory, not taken yet'),
    tableRow('queued', queued, 'taken, not learned yet'),
    tableRow('quarantined', quarantined, "rspamd can't take them"),
    tableRow('released', released, 'from there, until the daemon takes them'),
    tableRow('archived', archived),
    ...faults.map(({ path, code }) => `  ${path}: ${FAULTS[code] ?? `can't be read (${code})`}`),
    '',
    ...daemonLines(overview.daemon),
    '',
    ...overview.rspamd.map(({ name, obstacle }) => `rspamd at ${name}: ${obstacle ?? 'reachable'}`),
    ...VERDICTS.map((verdict) => bayesLine(verdict, overview.bayes)),
  ];
  return lines.map((line) => `${clean(line, Infinity).trimEnd()}\n`).join('');
}

function daemonLines(daemon: RunningDaemon): string[] {
  if (daemon.kind === 'unknown') return [`daemon: ${daemon.reason}`];
  const { report } = daemon;
  const { readiness, health, messages, deferred, inFlight, controllers, bugs } = report;
  const role = report.role === 'owner' ? 'owns the spool' : 'stands by';
  return [
    `daemon: ${role}, ${readiness.ready ? 'ready' : 'not ready'}, version ${report.version}`,
    ...[...health.reasons, ...readiness.reasons].map((reason) => `  ${reason}`),
    tableRow(`since ${report.startedAt.slice(0, 19)}Z`, { spam: 'spam', ham: 'ham' }),
    ...FINAL_RESULTS.map((ending) =>
      tableRow(ending, { spam: messages.spam[ending], ham: messages.ham[ending] }),
    ),
    ...(deferred === null ? [] : [`  deferred: ${deferred}, in flight: ${inFlight ?? 0}`]),
    ...(bugs.last === null
      ? []
      : [
          `  ${plural(bugs.count, 'error')} of the program itself (daemon.bug in its log), last at ${bugs.last.at.slice(0, 19)}Z: ${bugs.last.error}`,
        ]),
    ...controllers.flatMap(({ name, forgot }) =>
      forgot === null ? [] : [`  ${name} had forgotten ${forgot.missing} at ${forgot.at}`],
    ),
  ];
}

function bayesLine(verdict: Verdict, { learned, minLearns, missing }: BayesProgress): string {
  const left = missing[verdict];
  if (left === null) return `bayes, ${verdict}: not known`;
  const rest = left === 0 ? 'enough' : `${left} more`;
  return `bayes, ${verdict}: ${learned[verdict] ?? 0} learned, ${rest} for min_learns = ${minLearns}`;
}

function tableRow(
  name: string,
  numbers: Readonly<Record<Verdict, number | string | null>>,
  note = '',
): string {
  const [spam, ham] = VERDICTS.map((verdict) => String(numbers[verdict] ?? '?').padStart(8));
  return `  ${name.padEnd(26)}${spam ?? ''}${ham ?? ''}  ${note}`;
}

const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'missing',
  EACCES: "may not be read (EACCES): run this as the daemon's user",
};
