import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { FILTER_TITLES } from '../filter.ts';
import type { Filter } from '../filter.ts';
import { plural, wrap, listed } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { classesOf, ofClass } from '../verdict.ts';
import type { PerClass } from '../verdict.ts';
import type { Gain } from './bayes-gain.ts';
import type { Ending } from './run.ts';
import type { SampleResult } from './sample.ts';
import { KINDS, NAMES_KEPT, byKind, sumOf } from './stats.ts';
import type { Kind, MailFolder, Named, RunStats } from './stats.ts';

/**
 * The closing summary: one object, which `--json` prints as it is and people get as text, and the exit
 * code of the run.
 */
export interface SummaryInput {
  readonly filter: Filter;
  readonly stats: RunStats;
  readonly ending: Ending;
  /** The places of the messages that are left over, and what keeps them. */
  readonly left: readonly Named[];
  readonly gain: Gain;
  /** What posting a sample again has shown; `undefined` where there was none. */
  readonly sample: SampleResult | undefined;
  /** Messages of which no header field said whose they are. */
  readonly userless: number;
  readonly learningMs: number;
  readonly confirmingMs: number;
  /** The command that goes on. */
  readonly resume: string;
}

export type Summary = ReturnType<typeof summarize>;

export function summarize(input: SummaryInput) {
  const { stats, ending, left, gain, learningMs, confirmingMs } = input;
  const { before, after, gained, confirmed, missing } = gain;
  const isGivenUp = ending !== 'complete' && ending !== 'limited';
  const isShown = stats.unproven === 0 || (after !== undefined && confirmed);
  const isUnfinished = isGivenUp || left.length + stats.total('heldBack') > 0 || !isShown;
  return {
    trainer: input.filter,
    ending,
    ...stats.counts,
    /** Read and not learned. */
    left: left.length,
    reasons: byKind((kind) => Object.fromEntries(stats.reasons[kind])),
    /** The first few. */
    names: { ...stats.names, left: left.slice(0, NAMES_KEPT) },
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
      confirmed,
      missing,
      /** Messages of each class that Bayes needs before it judges, unless rspamd is set otherwise. */
      minLearns: MIN_LEARNS,
      active: after === undefined ? null : Object.values(after).every((each) => each >= MIN_LEARNS),
      /** rspamd keeps what it has learned apart from Bayes' counts: one may outlive the other. */
      forgotten:
        after !== undefined && stats.isNearlyAllKnown && sumOf(after) < stats.total('known') / 2,
    },
    /** What was posted again at the end, to see whether rspamd still knows it; `null`: nothing. */
    sample: input.sample ?? null,
    /** Learned for nobody, because no field of LEARN_USER_HEADER names a user. */
    userless: input.userless,
    /** What lets those through that were held back. */
    cure: stats.cure ?? null,
    /**
     * The command that goes on: with what is left, or lacks both a proof and a place in Bayes' count;
     * `null` when there is nothing of that.
     */
    resume: isUnfinished ? input.resume : null,
    exitCode: exitCodeOf(
      stats.total('failed') > 0,
      isUnfinished || missing > 0 || input.sample?.isUsual === false,
    ),
  };
}

function exitCodeOf(hasFailed: boolean, isUnlearned: boolean): ExitCode {
  if (hasFailed) return EXIT.failure;
  return isUnlearned ? EXIT.temporary : EXIT.done;
}

// --- the text

/** Kinds that have a row although nothing came to that. */
const ALWAYS_SHOWN: readonly Kind[] = ['learned', 'known', 'refused', 'failed'];
const REASONS_SHOWN = 5;
/** Up to the reasons of a row. */
const ROW_WIDTH = 37;
const INDENT = '    ';

type Title = readonly [what: string, why?: string];

const ENDINGS: Readonly<Record<Exclude<Ending, 'complete'>, Title>> = {
  limited: ['Stopped at the limit'],
  interrupted: ['Interrupted'],
  away: ['Given up', ': FILTER learned nothing for too long'],
  misconfigured: ['Given up', ': FILTER learns nothing until a setting is changed'],
};

/**
 * The summary for people; the command that goes on is whole, on a line of its own.
 * @param columns how wide it may be
 */
export function inWords(summary: Summary, columns: number): string {
  const { seconds, rate, ending, left, resume, trainer } = summary;
  const [title, why = ''] = ending === 'complete' ? [howComplete(summary)] : ENDINGS[ending];
  const lines = [
    `${title} after ${seconds.learning.toFixed(1)} s, ${Math.round(rate)} messages a second${why.replace('FILTER', FILTER_TITLES[trainer])}.`,
    '',
    `${''.padEnd(16)}${classesOf(summary.learned)
      .map((verdict) => inColumn(verdict))
      .join('')}`,
    ...KINDS.filter((kind) => sumOf(summary[kind]) > 0 || ALWAYS_SHOWN.includes(kind)).map((kind) =>
      wrap(rowOf(summary, kind), columns, columns < 60 ? INDENT : ' '.repeat(ROW_WIDTH)),
    ),
    ...(left === 0 ? [] : [`${'left over'.padEnd(16)}${String(left).padStart(9)}`]),
    ...userLines(summary.userless),
    ...nameLines(summary),
    ...folderLines(summary.folders),
    ...sampleLines(summary.sample),
    ...bayesLines(summary),
  ];
  const text = wrapped(lines, columns);
  return resume === null ? text : `${text}\nTo go on:\n  ${resume}\n`;
}

/** Lines, each broken between its words. */
export function wrapped(lines: readonly string[], columns: number): string {
  const parts = lines.flatMap((line) => line.split('\n'));
  return parts.map((line) => `${wrap(line, columns, INDENT)}\n`).join('');
}

/** Only what went well is done. */
function howComplete({ failed, learned, known, refused, doneBefore }: Summary): string {
  if (sumOf(failed) === 0) return 'Done';
  const isTaken = [learned, known, refused, doneBefore].some((counts) => sumOf(counts) > 0);
  return isTaken ? 'Ended with failures' : 'Failed, and learned nothing,';
}

/** `notMail` as `not mail`. */
export function inPlainWords(kind: Kind): string {
  return kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function rowOf(summary: Summary, kind: Kind): string {
  const counts = Object.entries(summary[kind]);
  const numbers = counts.map(([verdict, count]) => inColumn(verdict, count)).join('');
  const reasons = Object.entries(summary.reasons[kind])
    .sort(([, a], [, b]) => b - a)
    .slice(0, REASONS_SHOWN)
    .map(([reason, count]) => `${count} x ${reason}`)
    .join('; ');
  return `${inPlainWords(kind).padEnd(16)}${numbers}${reasons === '' ? '' : `   ${reasons}`}`;
}

function nameLines({ names, cure }: Summary): string[] {
  const blocks: readonly (readonly [title: string, names: readonly Named[]])[] = [
    ['Learned without proof', names.learned],
    ['Not mail', names.notMail],
    ['Passed over', names.passedOver],
    ['Failed', names.failed],
    [`Held back until this is changed: ${cure ?? ''}`, names.heldBack],
    ['Left over', names.left],
  ];
  return blocks.flatMap(([title, named]) => {
    const first = named.length < NAMES_KEPT ? '' : ` (the first ${NAMES_KEPT})`;
    const reasons = new Set(named.map(({ reason }) => reason));
    // A reason that all have is said once.
    const isCommon = named.length > 1 && reasons.size === 1;
    const common = isCommon ? `, ${[...reasons].join()}` : '';
    const lines = named.map(({ place, reason }) => `  ${place}${isCommon ? '' : `: ${reason}`}`);
    return lines.length === 0 ? [] : ['', `${title}${first}${common}:`, ...lines];
  });
}

function sampleLines(sample: SampleResult | null): string[] {
  if (sample === null) return [];
  const { posted, forgotten, atMost, isUsual } = sample;
  const limit = `with 95 % confidence at most ${(atMost * 100).toFixed(1)} % of the others`;
  const again = `${forgotten} of ${posted} posted again`;
  if (!isUsual) {
    return [
      '',
      `${again} were forgotten, and learned anew; ${limit}. Look at rspamd's log and at`,
      'its Redis, and teach them again, without their journal.',
    ];
  }
  if (forgotten === 0) return ['', `${again} forgotten: ${limit}.`];
  return ['', `${again} not known at once, which is usual for 1 to 2 %: ${limit}.`];
}

function userLines(userless: number): string[] {
  if (userless === 0) return [];
  return [
    '',
    `In ${plural(userless, 'message')} no field of LEARN_USER_HEADER names a user: learned without one.`,
  ];
}

/** Every mail folder with the number of its messages. */
export function folderLines(folders: readonly MailFolder[]): string[] {
  const block = (title: string, isPassedOver: boolean): string[] => {
    const lines = folders
      .filter((each) => (each.passedOver !== null) === isPassedOver)
      .map(({ folder, verdict, messages, passedOver }) => {
        const reason = passedOver === null ? '' : `: ${passedOver}`;
        return `  ${verdict.padEnd(5)}${String(messages).padStart(9)}  ${folder}${reason}`;
      });
    return lines.length === 0 ? [] : ['', title, ...lines];
  };
  return [
    ...block('Folders:', false),
    ...block('Folders passed over; to teach one after all, name it itself:', true),
  ];
}

/** SpamAssassin tells nobody what it holds. */
function bayesLines({ trainer, bayes }: Summary): string[] {
  const { before, now, gained, confirmed, missing, minLearns, forgotten } = bayes;
  if (trainer !== 'rspamd') return [];
  if (now === null) return ['', 'Bayes: rspamd did not tell what it holds.'];
  const growth = gained === null ? '' : `, gained ${listed(Object.values(gained).map(signed))}`;
  const lines = ['', `Bayes holds ${withNames(now)}${growth}.`];
  if (gained === null && before !== null) {
    lines.push(
      `What it gained can't be told: before, rspamd said ${listed(Object.values(before).map(String))}, but its count may be a minute old, and Bayes have been emptied in that minute.`,
    );
  }
  const short = classesOf(now).filter((verdict) => ofClass(now, verdict) < minLearns);
  const lacking = listed(short.map((each) => `${minLearns - ofClass(now, each)} ${each}`));
  lines.push(
    short.length === 0
      ? `It judges: ${minLearns} of each are enough, unless min_learns is set otherwise.`
      : `It is silent until it has ${minLearns} of each (min_learns): ${lacking} missing.`,
  );
  if (!confirmed) {
    lines.push(
      'That may be a minute old: rspamd refreshes its count every 30 to 60 s (--confirm waits).',
    );
  }
  if (forgotten) lines.push(...FORGOTTEN);
  else if (missing > 0) {
    lines.push(
      `That lacks ${plural(missing, 'message')} of those that rspamd said it learned: look at rspamd's log and at its Redis, and teach them again, without their journal.`,
    );
  }
  return lines;
}

/** Keys as rspamd 3.4 (`learned_ids`) and 3.12 (`learned_ids_0` and further ones) name them. */
const FORGOTTEN = [
  "rspamd says that it knows nearly all of these messages, but Bayes holds far fewer: its list of learned messages has outlived the statistics. With a Redis backend (add -h, -p, -n and -a where it isn't the local one), empty that list and run the command again:",
  "  redis-cli --scan --pattern 'learned_ids*' | xargs -r redis-cli del",
];

/** A class, or its figure, in its column. */
function inColumn(verdict: string, value: string | number = verdict): string {
  return String(value).padStart(Math.max(9, verdict.length + 2));
}

function withNames(counts: PerClass<number>): string {
  return listed(Object.entries(counts).map(([verdict, count]) => `${count} ${verdict}`));
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
