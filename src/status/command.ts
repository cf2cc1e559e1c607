import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { FINAL_RESULTS } from '../delivery/result.ts';
import { clean, tableRow } from '../text.ts';
import { createTrainers } from '../trainers/create.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { askStatus } from './client.ts';
import { countPlace, countSpool } from './counts.ts';
import type { CountFaults } from './counts.ts';
import { learnedIn, learnedOf, obstacleIn, probe } from './probe.ts';

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

/** What `status --json` prints, and what its text is made of; `null` stands for what isn't known. */
export type Overview = Awaited<ReturnType<typeof overviewOf>>;

/** @returns 0, whatever it finds; 1 when it was stopped */
export async function status({ config, json, out, stop }: StatusOptions): Promise<ExitCode> {
  const overview = await overviewOf(config, stop);
  // What was cut short was not answered, and must not be told as such.
  if (stop.aborted) return EXIT.failure;
  out(json ? `${JSON.stringify(overview, undefined, 2)}\n` : overviewText(overview));
  return EXIT.done;
}

async function overviewOf(config: Config, stop: AbortSignal) {
  const { spool } = config;
  const asked = Promise.all([daemonOf(config, stop), askControllers(config, stop)]);
  const faults: CountFaults = new Map();
  const counts = await countSpool(spool, faults);
  const archived = await countPlace(spool, 'archive', faults);
  const [daemon, controllers] = await asked;
  const learned = learnedOf(controllers);
  const missing = (verdict: Verdict): number | null =>
    learned[verdict] === null ? null : Math.max(0, MIN_LEARNS - learned[verdict]);
  return {
    spool: spool.libDir,
    stateDir: spool.stateDir,
    ...counts,
    archived,
    /** Folders that can't be counted. */
    faults: [...faults].map(([path, code]) => ({ path, code })),
    daemon,
    rspamd: controllers.map(({ name, obstacle }) => ({
      name,
      /** It answers, and shows its statistics with a Bayes backend in them. */
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

/** The daemon of this spool, as it answers at STATUS_LISTEN. */
async function daemonOf({ statusListen, spool }: Config, stop: AbortSignal) {
  const answer = await askStatus(statusListen, stop);
  if (answer.kind !== 'running') return { kind: 'unknown', reason: answer.reason } as const;
  const { report } = answer;
  if (report.spool === spool.libDir && report.stateDir === spool.stateDir) return answer;
  const places = `${report.spool} and ${report.stateDir}`;
  const reason = `the one that runs has another spool or state dir (${places})`;
  return { kind: 'unknown', reason } as const;
}

function askControllers(config: Config, stop: AbortSignal) {
  return Promise.all(
    createTrainers(config).map(async (trainer) => {
      const seen = await probe(trainer, systemClock, stop);
      return { name: trainer.name, obstacle: obstacleIn(seen), bayes: learnedIn(seen) };
    }),
  );
}

// --- the text

const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'missing',
  EACCES: "may not be read (EACCES): run this as the daemon's user",
};

function overviewText(overview: Overview): string {
  const { dropped, queued, quarantined, released, archived, bayes } = overview;
  const lines = [
    `spool: ${overview.spool}`,
    `state dir: ${overview.stateDir}`,
    '',
    row('', { spam: 'spam', ham: 'ham' }),
    row('dropped', dropped, 'in the drop directory, not taken yet'),
    row('queued', queued, 'taken, not learned yet'),
    row('quarantined', quarantined, "rspamd can't take them"),
    row('released', released, 'from there, until the daemon takes them'),
    row('archived', archived),
    ...overview.faults.map(({ path, code }) => `  ${path}: ${FAULTS[code] ?? code}`),
    '',
    ...daemonLines(overview.daemon),
    '',
    ...overview.rspamd.map(({ name, obstacle }) => `rspamd at ${name}: ${obstacle ?? 'reachable'}`),
    ...VERDICTS.map((verdict) => {
      const { learned, minLearns, missing } = bayes;
      if (learned[verdict] === null) return `bayes, ${verdict}: not known`;
      const rest = missing[verdict] === 0 ? 'enough' : `${missing[verdict] ?? '?'} more`;
      return `bayes, ${verdict}: ${learned[verdict]} learned, ${rest} for min_learns = ${minLearns}`;
    }),
  ];
  return lines.map((line) => `${clean(line, Infinity)}\n`).join('');
}

function daemonLines(daemon: Overview['daemon']): string[] {
  if (daemon.kind === 'unknown') return [`daemon: ${daemon.reason}`];
  const { report } = daemon;
  const { readiness, health, messages, deferred, inFlight } = report;
  const role = report.role === 'owner' ? 'owns the spool' : 'stands by';
  const lines = [
    `daemon: ${role}, ${readiness.ready ? 'ready' : 'not ready'}, version ${report.version}`,
    ...[...health.reasons, ...readiness.reasons].map((reason) => `  ${reason}`),
    row(`since ${report.startedAt.slice(0, 19)}Z`, { spam: 'spam', ham: 'ham' }),
    ...FINAL_RESULTS.map((result) =>
      row(result, { spam: messages.spam[result], ham: messages.ham[result] }),
    ),
  ];
  return deferred === null
    ? lines
    : [...lines, `  deferred: ${deferred}, in flight: ${inFlight ?? 0}`];
}

function row(
  name: string,
  numbers: Readonly<Record<Verdict, number | string | null>>,
  note = '',
): string {
  const cells = VERDICTS.map((verdict) => String(numbers[verdict] ?? '?'));
  return tableRow([`  ${name}`, ...cells, note], [28, -6, -6]);
}
