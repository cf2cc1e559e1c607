import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { plural } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { NAMES } from './account.ts';
import type { Account, CountByVerdict, Fate, Folder, Named } from './account.ts';
import type { Gain } from './bayes-gain.ts';
import { folderLines } from './folder-lines.ts';
import type { Ending } from './run.ts';

/**
 * The closing summary: one object, which `--json` prints as it is and people get as text.
 */
export interface Summary extends Readonly<Record<Fate, CountByVerdict>> {
  readonly ending: Ending;
  /** Read and not learned: the same command goes on with them. */
  readonly left: number;
  /** How often which reason was given; of what was learned only where proof is missing. */
  readonly reasons: Readonly<Record<Explained, Record<string, number>>>;
  /** The first few names. */
  readonly names: Readonly<Record<Explained | 'left', readonly Named[]>>;
  /** What SpamAssassin had wrapped; the message inside was taught. */
  readonly unwrapped: CountByVerdict;
  /** Every mail folder with the number of its messages. */
  readonly folders: readonly Folder[];
  /** `learning`: from the first post to the last proof; `confirming`: the wait for Bayes' count. */
  readonly seconds: { readonly learning: number; readonly confirming: number };
  /** Messages a second that rspamd was asked about. */
  readonly rate: number;
  readonly bayes: BayesSummary;
  /** What lets those through that were held back. */
  readonly cure: string | null;
  /** The command that goes on; `null` when nothing is left. */
  readonly resume: string | null;
  readonly exitCode: ExitCode;
}

/** What comes with reasons and names. */
const EXPLAINED = ['learned', 'refused', 'notMail', 'passedOver', 'failed', 'heldBack'] as const;
type Explained = (typeof EXPLAINED)[number];

export interface BayesSummary {
  /** As rspamd said it; that may have been a minute old. */
  readonly before: CountByVerdict | null;
  readonly now: CountByVerdict | null;
  /** `null` where both can't be compared. */
  readonly gained: CountByVerdict | null;
  /** False when its count may be older than what was learned: it was not waited for. */
  readonly confirmed: boolean;
  /** Learned messages that Bayes' count lacks for certain; 0 within 2 %. */
  readonly missing: number;
  /** Messages of each class that Bayes needs before it judges, unless rspamd is set otherwise. */
  readonly minLearns: number;
  readonly active: boolean | null;
  /** rspamd knew nearly everything, but Bayes holds far less: see the text's cure. */
  readonly forgotten: boolean;
}

export interface SummaryInput {
  readonly account: Account;
  readonly ending: Ending;
  /** The places of the messages that are left over, and what keeps them. */
  readonly left: readonly Named[];
  readonly gain: Gain;
  readonly learningMs: number;
  readonly confirmingMs: number;
  /** The command that goes on. */
  readonly resume: string;
}

/** Of so many known messages on, and with so few new ones beside them, Bayes is asked why. */
const NEARLY_ALL = 0.9;
const FORGOTTEN_FROM = 10;

export function summarize(input: SummaryInput): Summary {
  const { account, ending, left, gain, learningMs, confirmingMs } = input;
  const isUnfinished =
    left.length + account.total('heldBack') > 0 || !['complete', 'limited'].includes(ending);
  const seconds = { learning: round(learningMs / 1_000), confirming: round(confirmingMs / 1_000) };
  const { after } = gain;
  return {
    ending,
    ...account.counts,
    left: left.length,
    reasons: {
      learned: Object.fromEntries(account.reasons.learned),
      refused: Object.fromEntries(account.reasons.refused),
      notMail: Object.fromEntries(account.reasons.notMail),
      passedOver: Object.fromEntries(account.reasons.passedOver),
      failed: Object.fromEntries(account.reasons.failed),
      heldBack: Object.fromEntries(account.reasons.heldBack),
    },
    names: {
      learned: account.names.learned,
      refused: account.names.refused,
      notMail: account.names.notMail,
      passedOver: account.names.passedOver,
      failed: account.names.failed,
      heldBack: account.names.heldBack,
      left: left.slice(0, NAMES),
    },
    unwrapped: account.unwrapped,
    folders: account.folders,
    seconds,
    rate: learningMs === 0 ? 0 : round((account.posted * 1_000) / learningMs),
    bayes: {
      before: gain.before ?? null,
      now: after ?? null,
      gained: gain.gained ?? null,
      confirmed: gain.confirmed,
      missing: gain.missing,
      minLearns: MIN_LEARNS,
      active: after === undefined ? null : VERDICTS.every((each) => after[each] >= MIN_LEARNS),
      forgotten: hasForgotten(account, after),
    },
    cure: account.cure ?? null,
    resume: isUnfinished ? input.resume : null,
    exitCode: exitCodeOf(account, isUnfinished, gain),
  };
}

function exitCodeOf(account: Account, isUnfinished: boolean, gain: Gain): ExitCode {
  if (account.total('failed') > 0) return EXIT.failure;
  const isMissing = gain.missing > 0 || isUnshown(account, gain);
  return isUnfinished || isMissing ? EXIT.temporary : EXIT.done;
}

/**
 * Some have neither a proof nor a place in Bayes' count: whether rspamd stored them is open. Where
 * the count tells nothing, the others' proofs show that rspamd stored what came.
 */
function isUnshown(account: Account, { after, gained, confirmed, lack }: Gain): boolean {
  const unproven = sumOf(account.reasons.learned.values());
  if (unproven === 0) return false;
  if (after === undefined || !confirmed || lack >= unproven) return true;
  return gained === undefined && account.total('learned') === unproven;
}

/** rspamd keeps what it has learned and Bayes' counts apart: one may outlive the other. */
function hasForgotten(account: Account, after: CountByVerdict | undefined): boolean {
  if (after === undefined || !isNearlyAllKnown(account)) return false;
  return after.spam + after.ham < account.total('known') / 2;
}

/** rspamd knew nearly all of it already: is it true? */
export function isNearlyAllKnown(account: Account): boolean {
  const known = account.total('known');
  return known >= FORGOTTEN_FROM && known >= NEARLY_ALL * (known + account.total('learned'));
}

const ROWS: readonly (readonly [Fate, string])[] = [
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

const ENDINGS: Readonly<Record<Exclude<Ending, 'complete'>, string>> = {
  limited: 'Stopped at the limit',
  interrupted: 'Interrupted',
  away: 'Given up: rspamd did not learn for too long',
  failing: 'Given up: rspamd answers what is left with an error each time',
  misconfigured: 'Given up: rspamd will not learn until a setting is changed',
};

/** The summary for people, in lines. */
export function inWords(summary: Summary): string {
  const { seconds, rate, ending, left, resume } = summary;
  const lines = [
    `${ending === 'complete' ? howComplete(summary) : ENDINGS[ending]} after ${inSeconds(seconds.learning)}, ${Math.round(rate)} messages a second.`,
    '',
    `${''.padEnd(16)}${'spam'.padStart(9)}${'ham'.padStart(9)}`,
    ...ROWS.filter(([fate]) => isShown(fate, summary[fate])).map(([fate, name]) =>
      row(name, summary[fate], reasonsOf(summary, fate)),
    ),
    ...(left === 0 ? [] : [`${'left over'.padEnd(16)}${String(left).padStart(9)}`]),
    ...unwrappedLines(summary.unwrapped),
    ...namesOf(summary),
    ...folderLines(summary.folders),
    '',
    ...bayesLines(summary),
  ];
  if (resume !== null) lines.push('', 'To go on:', `  ${resume}`);
  else if (summary.exitCode === EXIT.temporary && summary.bayes.missing === 0) {
    lines.push('', 'Nothing shows that what was not proven is stored: run the command again.');
  }
  return `${lines.join('\n')}\n`;
}

/** Only what went well is done. */
function howComplete({ failed, learned, known, refused, doneBefore }: Summary): string {
  if (failed.spam + failed.ham === 0) return 'Done';
  const taken = [learned, known, refused, doneBefore].some(({ spam, ham }) => spam + ham > 0);
  return taken ? 'Ended with failures' : 'Nothing was learned: failed';
}

export function unwrappedLines({ spam, ham }: CountByVerdict): string[] {
  if (spam + ham === 0) return [];
  return [
    '',
    `${plural(spam + ham, 'message')} had been wrapped by SpamAssassin (report_safe): what is taught is the one inside.`,
  ];
}

function isShown(fate: Fate, counts: CountByVerdict): boolean {
  return ['learned', 'known', 'refused', 'failed'].includes(fate) || counts.spam + counts.ham > 0;
}

function row(name: string, counts: CountByVerdict, reasons: string): string {
  const numbers = VERDICTS.map((verdict) => String(counts[verdict]).padStart(9)).join('');
  return `${name.padEnd(16)}${numbers}${reasons === '' ? '' : `   ${reasons}`}`;
}

function reasonsOf(summary: Summary, fate: Fate): string {
  if (!isExplained(fate)) return '';
  return Object.entries(summary.reasons[fate])
    .sort(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([reason, count]) => `${count} x ${reason}`)
    .join('; ');
}

function isExplained(fate: Fate): fate is Explained {
  return EXPLAINED.some((each) => each === fate);
}

function namesOf({ names, reasons, failed, heldBack, cure, notMail, left }: Summary): string[] {
  const unproven = sumOf(Object.values(reasons.learned));
  const kinds = [
    ['Learned without proof', names.learned, unproven],
    ['Not mail', names.notMail, notMail.spam + notMail.ham],
    ['Passed over', names.passedOver, sumOf(Object.values(reasons.passedOver))],
    ['Failed', names.failed, failed.spam + failed.ham],
    [
      `Held back until this is changed: ${cure ?? ''}`,
      names.heldBack,
      heldBack.spam + heldBack.ham,
    ],
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

function bayesLines(summary: Summary): string[] {
  const { before, now, gained, confirmed, missing, minLearns, forgotten } = summary.bayes;
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

function sumOf(numbers: Iterable<number>): number {
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

/** What a dry run found in one source. */
export interface DryCount {
  readonly source: string;
  readonly verdict: Verdict;
  readonly messages: number;
  readonly notMail: number;
  readonly passedOver: number;
  readonly failed: number;
  readonly older: number;
  readonly doneBefore: number;
}

/** A dry run's result for people. */
export function dryInWords(counts: readonly DryCount[], account: Account): string {
  const lines = ['Nothing was posted. What would be:', ''];
  for (const { source, verdict, messages, ...others } of counts) {
    const rest = [
      [others.doneBefore, 'done before'],
      [others.older, 'older copies'],
      [others.notMail, 'not mail'],
      [others.passedOver, 'passed over'],
      [others.failed, 'failed'],
    ] as const;
    const extra = rest.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
    lines.push(`  ${verdict.padEnd(5)}${String(messages).padStart(9)}  ${source}${extra.join('')}`);
  }
  for (const fate of ['notMail', 'passedOver', 'failed'] as const) {
    for (const { place, reason } of account.names[fate]) lines.push(`  ${place}: ${reason}`);
  }
  lines.push(...unwrappedLines(account.unwrapped), ...folderLines(account.folders));
  return `${lines.join('\n')}\n`;
}

/** The same for `--json`. */
export function dryAsJson(
  sources: readonly DryCount[],
  account: Account,
  exitCode: ExitCode,
): object {
  const { names, unwrapped, folders } = account;
  const { notMail, passedOver, failed } = names;
  return {
    dryRun: true,
    sources,
    names: { notMail, passedOver, failed },
    unwrapped,
    folders,
    exitCode,
  };
}
