import { FINAL_RESULTS } from "../delivery/result.ts";
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { clean, plural } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { Fault, Numbers } from './census.ts';
import type { DaemonReport } from './report.ts';

/** The overview: what `kopano-learnd status` tells, and how it reads. */
export interface Overview {
  readonly spool: string;
  readonly stateDir: string;
  /** In the drop directory, not taken yet. */
  readonly dropped: Numbers;
  /** In the queue, whatever they wait for. */
  readonly queued: Numbers;
  readonly quarantined: Numbers;
  /** Out of the quarantine, not taken back yet. */
  readonly released: Numbers;
  readonly archived: Numbers;
  /** Folders that can't be counted. */
  readonly faults: readonly Fault[];
  readonly daemon: DaemonAnswer;
  readonly rspamd: readonly RspamdAnswer[];
  readonly bayes: BayesProgress;
}

/** What the daemon says at STATUS_LISTEN. Nothing is claimed of one that can't be asked. */
export type DaemonAnswer =
  | { readonly kind: 'running'; readonly report: DaemonReport }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface RspamdAnswer {
  /** As in RSPAMD_URL. */
  readonly name: string;
  /** It answers, and shows its statistics with a Bayes backend in them. */
  readonly reachable: boolean;
  /** Why not. */
  readonly obstacle: string | null;
}

export interface BayesProgress {
  /** Learned messages, as rspamd says; `null` where it doesn't. */
  readonly learned: Numbers;
  readonly minLearns: number;
  /** How many are still to be learned until then. */
  readonly missing: Numbers;
}

export function progressOf(learned: Numbers): BayesProgress {
  const missing = (verdict: Verdict): number | null => {
    const so = learned[verdict];
    return so === null ? null : Math.max(0, MIN_LEARNS - so);
  };
  return {
    learned,
    minLearns: MIN_LEARNS,
    missing: { spam: missing('spam'), ham: missing('ham') },
  };
}

/** The overview for people. */
export function overviewText(overview: Overview): string {
  const { dropped, queued, quarantined, released, archived, faults } = overview;
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
    ...faults.map(({ path, code }) => `  ${path}: ${says(code)}`),
    '',
    ...daemonLines(overview.daemon),
    '',
    ...overview.rspamd.map(({ name, obstacle }) => `rspamd at ${name}: ${obstacle ?? 'reachable'}`),
    ...bayesLines(overview.bayes),
  ];
  return lines.map((line) => `${clean(line, Infinity).trimEnd()}\n`).join('');
}

function daemonLines(answer: DaemonAnswer): string[] {
  if (answer.kind === 'unknown') return [`daemon: ${answer.reason}`];
  const { report } = answer;
  const { readiness, health, deferred, inFlight } = report;
  const role = report.role === 'owner' ? 'owns the spool' : 'stands by';
  return [
    `daemon: ${role}, ${readiness.ready ? 'ready' : 'not ready'}, version ${report.version}`,
    ...[...health.reasons, ...readiness.reasons].map((reason) => `  ${reason}`),
    row(`since ${report.startedAt.slice(0, 19)}Z`, { spam: 'spam', ham: 'ham' }),
    ...FINAL_RESULTS.map((ending) =>
      row(ending, { spam: report.messages.spam[ending], ham: report.messages.ham[ending] }),
    ),
    ...(deferred === null ? [] : [`  deferred: ${deferred}, in flight: ${inFlight ?? 0}`]),
    ...bugLines(report),
    ...report.controllers.flatMap(({ name, forgot }) =>
      forgot === null ? [] : [`  ${name} had forgotten ${forgot.missing} at ${forgot.at}`],
    ),
  ];
}

function bugLines({ bugs: { count, last } }: DaemonReport): string[] {
  if (last === null) return [];
  return [
    `  ${plural(count, 'error')} of the program itself (daemon.bug in its log), last at ${last.at.slice(0, 19)}Z: ${last.error}`,
  ];
}

function bayesLines({ learned, minLearns, missing }: BayesProgress): string[] {
  return VERDICTS.map((verdict) => {
    const so = learned[verdict];
    const left = missing[verdict];
    if (so === null || left === null) return `bayes, ${verdict}: not known`;
    const rest = left === 0 ? 'enough' : `${left} more`;
    return `bayes, ${verdict}: ${so} learned, ${rest} for min_learns = ${minLearns}`;
  });
}

function row(
  name: string,
  numbers: Readonly<Record<Verdict, number | string | null>>,
  note = '',
): string {
  const [spam, ham] = VERDICTS.map((verdict) => String(numbers[verdict] ?? '?').padStart(8));
  return `  ${name.padEnd(26)}${spam ?? ''}${ham ?? ''}  ${note}`;
}

function says(code: string): string {
  switch (code) {
    case 'ENOENT':
      return 'missing';
    case 'EACCES':
      return "may not be read (EACCES): run this as the daemon's user";
    default:
      return `can't be read (${code})`;
  }
}
