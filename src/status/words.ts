import { listed, plural } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import type { DaemonReport } from './reports.ts';

/** What `status`, `doctor` and the page say of the running daemon, and of Bayes. */

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

/**
 * A Bayes that says nothing yet, because a class is short of `min_learns`: what that means, and the two
 * ways out of it. kopano-spamd hands over ham only where a message was spam first, so that many sites
 * never get there by their users' judgements.
 */
interface ColdStart {
  /** A sentence without a full stop. */
  readonly says: string;
  /** Each is a way by itself. */
  readonly cures: readonly string[];
}

/**
 * @param learned by class; what Bayes does not say is no number
 * @returns `undefined` where it judges, or does not say
 */
export function coldStart(
  learned: PerClass<number | null | undefined>,
  minLearns: number = MIN_LEARNS,
): ColdStart | undefined {
  const known = Object.entries(learned).flatMap(([verdict, count]) =>
    typeof count === 'number' ? [{ verdict, count }] : [],
  );
  const short = known.filter(({ count }) => count < minLearns);
  if (short.length === 0 || known.length < 2) return undefined;
  const knows = known.map(({ verdict, count }) => `${count} ${verdict}`);
  const missing = short.map(({ verdict, count }) => `${minLearns - count} ${verdict}`);
  const slow = short.some(({ verdict }) => verdict === 'ham') ? SLOW_HAM : '';
  return {
    says: `Bayes knows ${listed(knows)}: it gives no opinion before it has learned ${minLearns} of each class (min_learns); ${listed(missing)} are missing${slow}`,
    cures: [
      ...short.map(({ verdict }) => TEACH[verdict] ?? teachClass(verdict)),
      'or let rspamd learn by itself what it is sure of: autolearn = true; in its local.d/classifier-bayes.conf, then restart it',
    ],
  };
}

const SLOW_HAM =
  ', and users hardly bring them: kopano-spamd hands over ham only where a message was spam first';

const TEACH: Readonly<Record<string, string>> = {
  spam: 'teach it a Junk folder that you have looked through: kopano-learnd relearn --spam PATH',
  ham: 'teach it a mailbox without spam, such as a Maildir of sent and kept mail: kopano-learnd relearn --ham PATH',
};

function teachClass(verdict: Verdict): string {
  return `teach it messages of that class: kopano-learnd relearn --class ${verdict}=PATH`;
}
