import { createHash } from 'node:crypto';
import { FINAL_RESULTS } from '../../delivery/result.ts';
import { OperatorError } from '../../errors.ts';
import { FILTER_TITLES } from '../../filter.ts';
import { figure, keyOf, page, table, text } from '../../html/html.ts';
import { QuarantinedMessages } from '../../spool/quarantined.ts';
import { clean } from '../../text.ts';
import { MIN_LEARNS } from '../../trainers/trainer.ts';
import { classesOf, ofClass } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { KINDS, daysUntil, localTime } from '../history.ts';
import type { HistoryReport } from '../history.ts';
import type { Page } from '../pages.ts';
import { learnedOf } from '../probe.ts';
import type { DaemonReport } from '../reports.ts';
import { coldStart, learnedWords, reasonsOf, span, stateOf } from '../words.ts';
import { barsPlot, progressBar } from './bars.ts';
import { STYLE } from './style.ts';

/** The status for people: `/status` as a page, and what lies in quarantine. Nothing runs in it. */

const MOST_QUARANTINED = 50;
const MAY_LOAD = `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

export function statusPage(report: DaemonReport, now: number): Page {
  const isOwner = report.role === 'owner';
  const quarantine = isOwner ? quarantineIn(report.stateDir) : undefined;
  const body = pageOf(report, quarantine, now);
  return { status: 200, type: 'text/html; charset=utf-8', body, mayLoad: MAY_LOAD };
}

/** @param quarantine `undefined` where it is another daemon's */
export function pageOf(
  report: DaemonReport,
  quarantine: QuarantineView | undefined,
  now: number,
): string {
  const { state, title } = headline(report);
  return page(`${title}: kopano-learnd`, STYLE, '', [
    `<h1 class="${state}">${title}</h1>`,
    `<p>${said(stateOf(report, now))}</p>`,
    ...list(reasonsOf(report)),
    ...moments(report, now),
    '<div class="pair">',
    ...section([...filters(report, now), ...waits(report)]),
    ...section(bayes(report)),
    '</div>',
    ...byDay(report),
    ...quarantined(quarantine),
    `<p class="quiet">kopano-learnd at ${said(report.spool)}, as of ${when(now)}${report.history === null ? '' : ` (${said(report.history.timeZone)})`}. Load the page again for what is new.</p>`,
  ]);
}

function headline(report: DaemonReport): { readonly state: string; readonly title: string } {
  if (reasonsOf(report).length === 0) return { state: 'good', title: 'It works' };
  return report.role === 'standby'
    ? { state: 'idle', title: 'It stands by' }
    : { state: 'bad', title: 'It does not work as it should' };
}

/** What comes from outside, without what paints or reorders. */
function said(raw: string): string {
  return text(clean(raw, 500));
}

function section(parts: readonly string[]): readonly string[] {
  return parts.length === 0 ? [] : ['<section>', ...parts, '</section>'];
}

function list(lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return [];
  return [`<ul>${lines.map((line) => `<li>${said(line)}</li>`).join('')}</ul>`];
}

function when(wall: number): string {
  return localTime(wall).replace('T', ' ');
}

function ago(iso: string | null, now: number): string {
  if (iso === null) return 'none is known of';
  const at = Date.parse(iso);
  return `${when(at)} (${span(now - at)} ago)`;
}

function moments({ history }: DaemonReport, now: number): readonly string[] {
  if (history === null) return [];
  return [
    `<p>The last message came in: ${ago(history.lastInAt, now)}.<br>`,
    `The last one proven to be remembered: ${ago(history.lastProofAt, now)}.</p>`,
  ];
}

function colourOf(verdicts: readonly Verdict[], verdict: Verdict): string {
  const further = verdicts.filter((each) => each !== 'spam' && each !== 'ham').indexOf(verdict);
  return further < 0 ? `var(--${verdict})` : `var(--further-${1 + (further % 2)})`;
}

/** How far Bayes is from judging. */
function bayes({ controllers }: DaemonReport): readonly string[] {
  const ofRspamd = controllers.filter(({ trainer }) => trainer === 'rspamd');
  if (ofRspamd.length === 0) return [];
  const learned = learnedOf(ofRspamd);
  const verdicts = classesOf(learned);
  const cold = coldStart(learned);
  const bars = verdicts.map((verdict) => {
    const count = learned[verdict] ?? null;
    const bar = progressBar((count ?? 0) / MIN_LEARNS, colourOf(verdicts, verdict));
    return `<p>${said(verdict)}: ${learnedWords(count, MIN_LEARNS)}</p>${bar}`;
  });
  const isKnown = verdicts.every((verdict) => learned[verdict] !== null);
  return [
    '<h2>Bayes</h2>',
    ...(cold === undefined
      ? [
          isKnown
            ? `<p>It judges: ${MIN_LEARNS} of each class are enough, unless min_learns is set otherwise.</p>`
            : '<p>rspamd does not say what it has learned.</p>',
        ]
      : [`<p>${said(cold.says)}. What to do:</p>`, ...list(cold.cures)]),
    `<div class="bars">${bars.join('')}</div>`,
  ];
}

function byDay({ history, trainers }: DaemonReport): readonly string[] {
  if (history === null) return [];
  const plots = trainers.flatMap(({ trainer, messages }) => {
    const verdicts = classesOf(messages);
    const of = trainers.length > 1 ? `${FILTER_TITLES[trainer]}, ` : '';
    return [7, 30, 90].map((count) =>
      dayFigure(`${of}${count} days`, history, {
        days: daysUntil(history.today, count),
        trainer,
        verdicts,
      }),
    );
  });
  return [
    '<h2>Judgements by day</h2>',
    '<p class="quiet">Refused: too short to learn from. Turned: the user judged the message otherwise before.</p>',
    `<div class="plots">${plots.join('')}</div>`,
  ];
}

interface Window {
  readonly days: readonly string[];
  readonly trainer: string;
  readonly verdicts: readonly Verdict[];
}

function dayFigure(title: string, history: HistoryReport, window: Window): string {
  const { days, trainer, verdicts } = window;
  const rows = history.days.filter((row) => row.trainer === trainer && row.day >= (days[0] ?? ''));
  const counts = new Map(rows.map((row) => [`${row.day} ${row.verdict}`, row]));
  const drawn = verdicts.map((name) => ({ name, colour: colourOf(verdicts, name) }));
  const bands = KINDS.map((kind) => ({
    name: kind,
    height: kind === 'learned' ? 90 : 30,
    series: drawn.map(({ name, colour }) => ({
      colour,
      counts: days.map((day) => counts.get(`${day} ${name}`)?.[kind] ?? 0),
    })),
  }));
  const cells = bands.flatMap(({ series }) => series.map((each) => each.counts));
  const numbers = days.map((day, index) => [day, ...cells.map((each) => `${each[index] ?? 0}`)]);
  const sums = cells.map((each) => `${each.reduce((sum, count) => sum + count, 0)}`);
  return figure(
    title,
    barsPlot(days, bands),
    keyOf(drawn),
    table(
      'Judgements by day; days without one are left out',
      ['day', ...KINDS.flatMap((kind) => verdicts.map((verdict) => `${kind}, ${verdict}`))],
      [
        ...numbers.filter(([, ...each]) => each.some((count) => count !== '0')),
        ['together', ...sums],
      ],
    ),
  );
}

/** What lies where, and how messages ended. */
function waits({ waiting, deferred, inFlight, trainers }: DaemonReport): readonly string[] {
  const places =
    waiting === null
      ? '<p>What lies in the folders is their owner&#39;s to count.</p>'
      : table(
          `In the folders; ${deferred ?? 0} deferred, ${inFlight ?? 0} in flight`,
          ['', ...classesOf(waiting.dropped)],
          Object.entries(waiting).map(([place, numbers]: [string, typeof waiting.dropped]) => [
            place,
            ...classesOf(numbers).map((verdict) => `${numbers[verdict] ?? '?'}`),
          ]),
        );
  const ends = trainers.map(({ trainer, messages }) =>
    table(
      `${FILTER_TITLES[trainer]}, since the start`,
      ['', ...classesOf(messages)],
      FINAL_RESULTS.map((result) => [
        result,
        ...classesOf(messages).map((verdict) => `${ofClass(messages, verdict)[result]}`),
      ]),
    ),
  );
  return ['<h2>Messages</h2>', `<div class="columns">${[places, ...ends].join('')}</div>`];
}

function filters({ controllers }: DaemonReport, now: number): readonly string[] {
  const entries = controllers.map(({ name, trainer, obstacle, cure, lastProofAt, forgot }) => {
    const proof =
      lastProofAt === null
        ? 'nothing proven since the start'
        : `last proof ${ago(lastProofAt, now)}`;
    const lost = forgot === null ? '' : `; it forgot ${forgot.missing} at ${ago(forgot.at, now)}`;
    const lines = obstacle === null ? [`learns; ${proof}${lost}`] : [obstacle, `${proof}${lost}`];
    return [
      `<dt>${FILTER_TITLES[trainer]} at ${said(name)}</dt>`,
      ...lines.map((line) => `<dd>${said(line)}</dd>`),
      ...(cure === null ? [] : [`<dd>What to do: ${said(cure)}</dd>`]),
    ].join('');
  });
  return ['<h2>Filters</h2>', `<dl>${entries.join('')}</dl>`];
}

/** What is shown of the quarantine: of each message why it is there, and nothing of itself. */
interface QuarantineView {
  /** The first of them, as they lie. */
  readonly messages: readonly {
    readonly name: string;
    readonly reason: string;
    readonly since: string | undefined;
  }[];
  /** There are others. */
  readonly isMore: boolean;
  /** Why they can't be read. */
  readonly fault: string | undefined;
}

/** Not all of it is read: there may be any number of messages. */
function quarantineIn(stateDir: string): QuarantineView {
  const messages: QuarantineView['messages'][number][] = [];
  try {
    using quarantine = QuarantinedMessages.open(stateDir);
    for (const message of quarantine?.list() ?? []) {
      if (messages.length === MOST_QUARANTINED) return { messages, isMore: true, fault: undefined };
      const { reason = 'the reason is not readable', quarantinedAt: since } =
        quarantine?.reason(message) ?? {};
      messages.push({ name: `${message.verdict}/${message.key}`, reason, since });
    }
    return { messages, isMore: false, fault: undefined };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { messages: [], isMore: false, fault: error.message };
  }
}

function quarantined(quarantine: QuarantineView | undefined): readonly string[] {
  if (quarantine === undefined) return [];
  const { messages, isMore, fault } = quarantine;
  const entries = messages.map(({ name, reason, since = '' }) => {
    const at = Date.parse(since);
    const from = Number.isNaN(at) ? '' : `since ${when(at)}: `;
    return `<dt>${said(name)}</dt><dd>${from}${said(reason)}</dd>`;
  });
  const none = fault ?? 'No message is in quarantine.';
  return [
    '<h2>Quarantine</h2>',
    ...(entries.length === 0
      ? [`<p>${said(none)}</p>`]
      : [
          `<dl>${entries.join('')}</dl>`,
          `<p>${isMore ? 'And more. ' : ''}To look at one: <code>kopano-learnd quarantine show NAME</code>; to try it again: <code>kopano-learnd quarantine release NAME</code>.</p>`,
        ]),
  ];
}
