import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { plural } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import type { Gain } from './bayes-gain.ts';
import type { Ending } from './run.ts';
import { NAMES_KEPT, sumOf } from './stats.ts';
import type { CountByVerdict, MailFolder, Named, RunResult, RunStats } from './stats.ts';

/** What the summary calls the results of messages: `--json` is read by scripts. */
const KEYS = {
  learned: 'learned',
  duplicate: 'known',
  refused: 'refused',
  notMail: 'notMail',
  passedOver: 'passedOver',
  failed: 'failed',
  deferred: 'heldBack',
  superseded: 'older',
  doneBefore: 'doneBefore',
} as const satisfies Readonly<Record<RunResult, string>>;

type Key = (typeof KEYS)[RunResult];

export interface SummaryInput {
  readonly stats: RunStats;
  readonly ending: Ending;
  /** The places of the messages that are left over, and what keeps them. */
  readonly left: readonly Named[];
  readonly gain: Gain;
  readonly learningMs: number;
  readonly confirmingMs: number;
  /** The command that goes on. */
  readonly resume: string;
}

/** The closing summary: one object, which `--json` prints as it is and people get as text. */
export type Summary = ReturnType<typeof summarize>;

export function summarize(input: SummaryInput) {
  const { stats, ending, left, gain, learningMs, confirmingMs } = input;
  const isUnfinished =
    left.length + stats.total('deferred') > 0 || !['complete', 'limited'].includes(ending);
  const { before, after, gained, confirmed, missing } = gain;
  return {
    ending,
    ...byKey((result) => stats.counts[result]),
    /** Read and not learned: the same command goes on with them. */
    left: left.length,
    /** How often which reason was given; of what was learned only where proof is missing. */
    reasons: byKey((result) => Object.fromEntries(stats.reasons[result])),
    /** The first few names. */
    names: { ...byKey((result) => stats.names[result]), left: left.slice(0, NAMES_KEPT) },
    /** What SpamAssassin had wrapped; the message inside was taught. */
    unwrapped: stats.unwrapped,
    /** Every mail folder with the number of its messages. */
    folders: stats.folders,
    /** `learning`: from the first post to the last proof; `confirming`: the wait for Bayes' count. */
    seconds: { learning: round(learningMs / 1_000), confirming: round(confirmingMs / 1_000) },
    /** Messages a second that rspamd was asked about. */
    rate: learningMs === 0 ? 0 : round((stats.posted * 1_000) / learningMs),
    bayes: {
      /** As rspamd said it; that may have been a minute old. */
      before: before ?? null,
      now: after ?? null,
      /** `null` where both can't be compared. */
      gained: gained ?? null,
      /** False when the count may be older than what was learned: it was not waited for. */
      confirmed,
      /** Learned messages that Bayes' count lacks for certain; 0 within 2 %. */
      missing,
      /** Messages of each class that Bayes needs before it judges, unless rspamd is set otherwise. */
      minLearns: MIN_LEARNS,
      active: after === undefined ? null : VERDICTS.every((each) => after[each] >= MIN_LEARNS),
      /** rspamd knew nearly everything, but Bayes holds far less: see the text's cure. */
      forgotten: hasForgotten(stats, after),
    },
    /** What lets those through that were held back. */
    cure: stats.cure ?? null,
    /** The command that goes on; `null` when nothing is left. */
    resume: isUnfinished ? input.resume : null,
    exitCode: exitCodeOf(stats, isUnfinished, gain),
  };
}

function byKey<T>(of: (result: RunResult) => T): Record<Key, T> {
  const results = Object.keys(KEYS) as RunResult[];
  return Object.fromEntries(results.map((each) => [KEYS[each], of(each)])) as Record<Key, T>;
}

function exitCodeOf(stats: RunStats, isUnfinished: boolean, gain: Gain): ExitCode {
  if (stats.total('failed') > 0) return EXIT.failure;
  const isMissing = gain.missing > 0 || isUnshown(stats, gain);
  return isUnfinished || isMissing ? EXIT.temporary : EXIT.done;
}

/**
 * Some have neither a proof nor a place in Bayes' count: whether rspamd stored them is open. Where
 * the count tells nothing, the others' proofs show that rspamd stored what came.
 */
function isUnshown(stats: RunStats, { after, gained, confirmed, lack }: Gain): boolean {
  const unproven = total(stats.reasons.learned.values());
  if (unproven === 0) return false;
  if (after === undefined || !confirmed || lack >= unproven) return true;
  return gained === undefined && stats.total('learned') === unproven;
}

/** Of so many duplicates on, and with so few new messages beside them, Bayes is asked why. */
const NEARLY_ALL = 0.9;
const FORGOTTEN_FROM = 10;

/** rspamd keeps what it has learned and Bayes' counts apart: one may outlive the other. */
function hasForgotten(stats: RunStats, after: CountByVerdict | undefined): boolean {
  if (after === undefined || !isNearlyAllKnown(stats)) return false;
  return sumOf(after) < stats.total('duplicate') / 2;
}

/** rspamd knew nearly all of it already: is it true? */
export function isNearlyAllKnown(stats: RunStats): boolean {
  const known = stats.total('duplicate');
  return known >= FORGOTTEN_FROM && known >= NEARLY_ALL * (known + stats.total('learned'));
}

const SUMMARY_ROWS: readonly (readonly [Key, string])[] = [
  ['learned', 'learned'],
  ['known', 'already known'],
  ['refused', 'refused'],
  ['notMail', 'not mail'],
  ['passedOver', 'passed over'],
  ['failed', 'failed'],
  ['heldBack', 'held back'],
  ['older', 'older copies'],
  ['doneBefore', 'done before'],
];
const ALWAYS_SHOWN: readonly Key[] = ['learned', 'known', 'refused', 'failed'];

const ENDING_TITLES: Readonly<Record<Exclude<Ending, 'complete'>, string>> = {
  limited: 'Stopped at the limit',
  interrupted: 'Interrupted',
  away: 'Given up: rspamd did not learn for too long',
  failing: 'Given up: rspamd answers what is left with an error each time',
  misconfigured: 'Given up: rspamd will not learn until a setting is changed',
};

/** The summary for people. */
export function inWords(summary: Summary): string {
  const { seconds, rate, ending, left, resume } = summary;
  const lines = [
    `${ending === 'complete' ? howComplete(summary) : ENDING_TITLES[ending]} after ${inSeconds(seconds.learning)}, ${Math.round(rate)} messages a second.`,
    '',
    `${''.padEnd(16)}${'spam'.padStart(9)}${'ham'.padStart(9)}`,
    ...SUMMARY_ROWS.flatMap(([key, title]) => summaryRow(summary, key, title)),
    ...(left === 0 ? [] : [`${'left over'.padEnd(16)}${String(left).padStart(9)}`]),
    ...unwrappedLines(summary.unwrapped),
    ...nameLines(summary),
    ...folderLines(summary.folders),
    '',
    ...bayesGainLines(summary.bayes),
  ];
  if (resume !== null) lines.push('', 'To go on:', `  ${resume}`);
  else if (summary.exitCode === EXIT.temporary && summary.bayes.missing === 0) {
    lines.push('', 'Nothing shows that what was not proven is stored: run the command again.');
  }
  return `${lines.join('\n')}\n`;
}

/** Only what went well is done. */
function howComplete({ failed, learned, known, refused, doneBefore }: Summary): string {
  if (sumOf(failed) === 0) return 'Done';
  const isTaken = [learned, known, refused, doneBefore].some((counts) => sumOf(counts) > 0);
  return isTaken ? 'Ended with failures' : 'Nothing was learned: failed';
}

function summaryRow(summary: Summary, key: Key, title: string): string[] {
  const counts = summary[key];
  if (sumOf(counts) === 0 && !ALWAYS_SHOWN.includes(key)) return [];
  const numbers = VERDICTS.map((verdict) => String(counts[verdict]).padStart(9)).join('');
  const reasons = Object.entries(summary.reasons[key])
    .sort(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([reason, count]) => `${count} x ${reason}`)
    .join('; ');
  return [`${title.padEnd(16)}${numbers}${reasons === '' ? '' : `   ${reasons}`}`];
}

export function unwrappedLines(unwrapped: CountByVerdict): string[] {
  if (sumOf(unwrapped) === 0) return [];
  return [
    '',
    `${plural(sumOf(unwrapped), 'message')} had been wrapped by SpamAssassin (report_safe): what is taught is the one inside.`,
  ];
}

function nameLines({ names, reasons, failed, heldBack, cure, notMail, left }: Summary): string[] {
  const kinds = [
    ['Learned without proof', names.learned, total(Object.values(reasons.learned))],
    ['Not mail', names.notMail, sumOf(notMail)],
    ['Passed over', names.passedOver, total(Object.values(reasons.passedOver))],
    ['Failed', names.failed, sumOf(failed)],
    [`Held back until this is changed: ${cure ?? ''}`, names.heldBack, sumOf(heldBack)],
    ['Left over', names.left, left],
  ] as const;
  return kinds.flatMap(([title, named, count]) => {
    const rest = count - named.length;
    if (named.length === 0) return [];
    return [
      '',
      `${title}:`,
      ...named.map(({ place, reason }) => `  ${place}: ${reason}`),
      ...(rest > 0 ? [`  and ${rest} more`] : []),
    ];
  });
}

/** Folders that are listed, of those that are taught and of those that aren't. */
const LISTED = 100;

/** Every mail folder with the number of its messages. */
export function folderLines(folders: readonly MailFolder[]): string[] {
  const block = (title: string, some: readonly MailFolder[]): string[] => {
    const lines = some.slice(0, LISTED).map(({ folder, verdict, messages, passedOver }) => {
      const reason = passedOver === null ? '' : `: ${passedOver}`;
      return `  ${verdict.padEnd(5)}${String(messages).padStart(9)}  ${folder}${reason}`;
    });
    const rest = some.slice(LISTED);
    const more = total(rest.map(({ messages }) => messages));
    if (rest.length > 0) lines.push(`  and ${rest.length} more with ${more} messages`);
    return lines.length === 0 ? [] : ['', title, ...lines];
  };
  return [
    ...block(
      'Folders:',
      folders.filter(({ passedOver }) => passedOver === null),
    ),
    ...block(
      'Folders passed over; to teach one after all, name it itself:',
      folders.filter(({ passedOver }) => passedOver !== null),
    ),
  ];
}

function bayesGainLines(bayes: Summary['bayes']): string[] {
  const { before, now, gained, confirmed, missing, minLearns, forgotten } = bayes;
  if (now === null) return ['Bayes: rspamd did not tell what it holds.'];
  const short = VERDICTS.filter((verdict) => now[verdict] < minLearns);
  const lines = [
    `Bayes holds ${now.spam} spam and ${now.ham} ham${gained === null ? '' : `, gained ${signed(gained.spam)} and ${signed(gained.ham)}`}.`,
    ...(gained === null && before !== null
      ? [
          `What it gained can't be told: before, rspamd said ${before.spam} and ${before.ham}, but its count may be a minute`,
          'old, and Bayes have been emptied in that minute.',
        ]
      : []),
    short.length === 0
      ? `It judges: ${minLearns} of each are enough, unless min_learns is set otherwise.`
      : `It is silent until it has ${minLearns} of each (min_learns): ${short.map((verdict) => `${minLearns - now[verdict]} ${verdict}`).join(' and ')} missing.`,
  ];
  if (!confirmed)
    lines.push('That may be a minute old: rspamd refreshes its count every 30 to 60 s.');
  if (forgotten) lines.push(...FORGOTTEN);
  else if (missing > 0) {
    lines.push(
      `That lacks ${plural(missing, 'message')} of those that rspamd said it learned. Either they were learned`,
      'the other way round before (a turned verdict takes from one class what it gives to the other),',
      "or they are lost: look at rspamd's log and at its Redis, and run the command again.",
    );
  }
  return lines;
}

/** Keys as rspamd 3.4 (`learned_ids`) and 3.12 (`learned_ids_0` and further ones) name them. */
const FORGOTTEN = [
  'rspamd says that it knows nearly all of these messages, but Bayes holds far fewer: its list of',
  'learned messages has outlived the statistics. With a Redis backend (add -h, -p, -n and -a where it',
  "isn't the local one), empty that list and run the command again:",
  "  redis-cli --scan --pattern 'learned_ids*' | xargs -r redis-cli del",
];

function total(numbers: Iterable<number>): number {
  return [...numbers].reduce((sum, number) => sum + number, 0);
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

function inSeconds(seconds: number): string {
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
