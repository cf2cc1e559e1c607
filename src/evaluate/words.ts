import { plural, tableRow } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import { otherVerdict } from './collection.ts';
import type { Evaluation } from './evaluation.ts';
import type { CurvePoint, Figures } from './report.ts';
import type { Estimate } from './statistics.ts';

/** An evaluation in words, for a terminal. The page has the same and more. */
export function inWords(evaluation: Evaluation): string {
  const paragraphs = [
    about(evaluation),
    timeOrder(evaluation),
    crossValidation(evaluation),
    disputed(evaluation),
  ];
  return `${paragraphs.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** So many points of the learning curve, and messages of the disputed list, are shown. */
const CURVE_LINES = 12;
const DISPUTED_LINES = 20;

function about({ messages, filter }: Evaluation): readonly string[] {
  const { read, spam, ham, beside } = messages;
  return [
    `${plural(read, 'message')}: ${spam} spam, ${ham} ham`,
    `  not judged: ${besideInWords(beside)}`,
    `Judged by a private rspamd ${filter.version ?? ''} with ${settingsInWords(filter)}.`,
    ...(filter.hasNamedClasses ? [NAMED_CLASSES] : []),
  ];
}

/** What could not be judged, and what is no message. */
export function besideInWords(beside: Evaluation['messages']['beside']): string {
  const words: Readonly<Record<keyof typeof beside, string>> = {
    duplicates: 'duplicates',
    short: 'too short for Bayes',
    failed: 'rspamd could not take',
    unreadable: 'unreadable',
    notMail: 'not mail',
    passedOver: 'passed over (deleted, or in folders such as Trash)',
    older: 'older files of a name',
  };
  const told = (Object.keys(words) as (keyof typeof beside)[])
    .filter((each) => beside[each] > 0)
    .map((each) => `${beside[each]} ${words[each]}`);
  return told.length === 0 ? 'none' : told.join(', ');
}

/** What differs where the site's classes have names. */
export const NAMED_CLASSES =
  "The classes of this machine's Bayes have names, with which rspamd 4.1 judges worse than this says (kopano-learnd doctor).";

export function settingsInWords({ from, settings }: Evaluation['filter']): string {
  const listed = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  const whose = from === 'site' ? "this machine's settings" : "rspamd's own settings";
  return `${whose} of Bayes (${listed.join(', ')})`;
}

function timeOrder({ timeOrder: { orderedBy, all, speaking, curve } }: Evaluation): string[] {
  const rows = thinned(curve).map(curveRow);
  return [
    `In time order (by ${orderInWords(orderedBy)}): each message judged, then taught`,
    ...columns([['messages', 'from', 'spam caught', 'ham lost', 'no opinion'], ...rows]),
    `  all: ${figuresInWords(all.figures)}`,
    speaking === null
      ? `  ${NEVER_SPOKE}`
      : `  since it speaks (from ${speaking.first} on): ${figuresInWords(speaking.figures)}`,
  ];
}

/** By what the messages were put in order. */
export function orderInWords(orderedBy: Evaluation['timeOrder']['orderedBy']): string {
  const words = {
    archive: "the archive's day",
    received: 'Received',
    date: 'Date',
    file: "the file's time",
  };
  const used = (Object.keys(words) as (keyof typeof words)[]).filter((each) => orderedBy[each] > 0);
  if (used.length === 1) return used.map((each) => words[each]).join('');
  return used.map((each) => `${words[each]}: ${orderedBy[each]}`).join(', ');
}

/** Some of the points, the last one among them. */
function thinned(curve: readonly CurvePoint[]): readonly CurvePoint[] {
  const step = Math.ceil(curve.length / CURVE_LINES);
  return curve.filter((_, at) => (curve.length - 1 - at) % step === 0);
}

function curveRow({ first, last, from, said: { spam, ham } }: CurvePoint): readonly string[] {
  return [
    `${first}-${last}`,
    from,
    `${spam.spam}/${spam.judged}`,
    `${ham.spam}/${ham.judged}`,
    `${spam.nothing + ham.nothing}`,
  ];
}

export function figuresInWords({ spamCaught, hamLost, noOpinion }: Figures): string {
  return `spam caught ${inPercent(spamCaught)}, ham lost ${inPercent(hamLost)}, no opinion ${inPercent(noOpinion)}`;
}

/** What `timeOrder.speaking` says where Bayes never spoke. */
export const NEVER_SPOKE =
  'Bayes said nothing at all: it has to learn more of each class first (min_learns).';

/** Why Bayes speaks earlier in the folds than on the site; `undefined` where it doesn't. */
export function minLearnsInWords(
  { minLearns }: Evaluation['crossValidation'],
  { settings }: Evaluation['filter'],
): string | undefined {
  if (minLearns === settings.min_learns) return undefined;
  return `A fold's filter is taught fewer than the ${settings.min_learns} of each class from which Bayes speaks (min_learns): here it speaks from ${minLearns} on.`;
}

function crossValidation({ crossValidation: part, filter }: Evaluation): string[] {
  const { folds, seed, said, figures, areaAbove, failed } = part;
  const rows = VERDICTS.map((verdict) => {
    const { judged, spam, ham, nothing } = said[verdict];
    return [verdict, judged, spam, ham, nothing].map(String);
  });
  const lowered = minLearnsInWords(part, filter);
  return [
    `Cross-validation (${folds} folds, seed ${seed}): each message judged by a filter taught the other folds`,
    ...columns([['', 'judged', 'spam, says Bayes', 'ham', 'nothing'], ...rows]),
    ...(failed > 0 ? [`  ${failed} could not be judged in the end.`] : []),
    ...(lowered === undefined ? [] : [`  ${lowered}`]),
    `  all: ${figuresInWords(figures)}`,
    `  1-AUC ${inPercent(areaAbove, 3)}`,
    '  (in brackets 95 % intervals: Wilson; of 1-AUC Newcombe, method 5)',
  ];
}

function disputed({ disputed: list, outFile, relearn }: Evaluation): string[] {
  if (list.count === 0) return ['Disputed: none; the archive contradicts no judgement.'];
  const rows = list.messages
    .slice(0, DISPUTED_LINES)
    .map((message) => [
      message.verdict,
      `${otherVerdict(message.verdict)} ${(100 * message.contradiction).toFixed(1)} %`,
      `${message.senderOtherwise}/${message.senderOthers}`,
      message.date,
      message.sender,
      message.subject,
    ]);
  const more = list.count - rows.length;
  return [
    `Disputed: ${plural(list.count, 'judgement')} that the rest contradicts; ${sendersInWords(list)}`,
    ...columns([['judged', 'Bayes', 'others', 'date', 'from', 'subject'], ...rows], 6),
    '  (others: how many of the other messages of its list or domain were judged otherwise)',
    ...(more > 0 ? [`  and ${more} more (--out FILE, --html FILE or --json has them all)`] : []),
    ...(outFile === null ? [] : [`  ${outFile.paths} of their paths are in ${outFile.name}`]),
    ...(relearn.length === 0
      ? []
      : ['  Strike out there what was judged rightly; then, to teach the rest the other way:']),
    ...relearn.map((command) => `    ${command}`),
  ];
}

/** How many senders account for most of them. */
export function sendersInWords({ senders, sendersOfHalf }: Evaluation['disputed']): string {
  const first = senders.slice(0, sendersOfHalf);
  const sum = first.reduce((total, { messages }) => total + messages, 0);
  const names = first.slice(0, 3).map(({ sender, messages }) => `${sender} ${messages}`);
  const listed = `${names.join(', ')}${first.length > 3 ? ', ...' : ''}`;
  const from = sendersOfHalf === 1 ? 'one list or domain' : `${sendersOfHalf} lists or domains`;
  return `${sum} of them come from ${from} (${listed})`;
}

/** A share with its interval: `97.1 % (96.0 to 97.9)`. */
export function inPercent(share: Estimate | null, places = 1): string {
  if (share === null) return '-';
  const [value, low, high] = [share.value, share.low, share.high].map((each) =>
    (100 * each).toFixed(places),
  );
  return `${value} % (${low} to ${high})`;
}

/** @param left how many columns are of text, from the left; the others are of numbers */
function columns(rows: readonly (readonly string[])[], left = 2): readonly string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  const signed = widths.map((width, at) => (at < left ? width : -width));
  return rows.map((row) => `  ${tableRow(row, signed)}`);
}
