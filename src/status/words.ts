import { plural } from '../text.ts';
import type { DaemonReport } from './reports.ts';

/** What `status` and the page say of the running daemon. */

/** Whether it works, in a sentence. */
export function stateOf(report: DaemonReport, now: number): string {
  const { role, readiness, version, startedAt } = report;
  const ready = troublesOf(report).length === 0 ? 'ready' : 'ready but for the following';
  const parts = [
    role === 'owner' ? 'owns the spool' : 'stands by',
    readiness.ready ? ready : 'not ready',
    `version ${version}`,
    `for ${span(now - Date.parse(startedAt))}`,
  ];
  return parts.join(', ');
}

/** Why it does not work as it should. */
export function reasonsOf(report: DaemonReport): readonly string[] {
  return [...report.health.reasons, ...report.readiness.reasons, ...troublesOf(report)];
}

/** What keeps a part of the messages from being learned. */
function troublesOf({ faults, controllers }: DaemonReport): readonly string[] {
  const held = controllers.flatMap(({ name, heldBack }) =>
    Object.entries(heldBack).map(([verdict, why]) => `${name} holds back ${verdict}: ${why}`),
  );
  return [...faults.map(({ place, says }) => `${place}: ${says}`), ...held];
}

/** How far Bayes is from judging, by what it has learned of a class. */
export function learnedWords(count: number | null, minLearns: number): string {
  if (count === null) return 'not known';
  const missing = minLearns - count;
  return `${count} learned, ${missing > 0 ? `${missing} more` : 'enough'} for min_learns = ${minLearns}`;
}

/** How long something has lasted, as people say it. */
export function span(ms: number): string {
  const units = [
    ['day', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const;
  const [unit, size] = units.find(([, each]) => ms >= 2 * each) ?? ['s', 1_000];
  const count = Math.max(0, Math.floor(ms / size));
  return unit === 'day' ? plural(count, unit) : `${count} ${unit}`;
}
