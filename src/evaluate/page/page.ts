import { plural } from '../../text.ts';
import { VERDICTS } from '../../verdict.ts';
import { otherVerdict } from '../collection.ts';
import type { Evaluation } from '../evaluation.ts';
import type { DisputedMessage } from '../disputed.ts';
import {
  NAMED_CLASSES,
  NEVER_SPOKE,
  besideInWords,
  figuresInWords,
  inPercent,
  minLearnsInWords,
  orderInWords,
  sendersInWords,
  settingsInWords,
} from '../words.ts';
import { STYLE as COMMON, figure, keyOf, page, table, text } from '../../html/html.ts';
import { SERIES, histogramPlot, learningCurvePlot, rocPlot, shares } from './plots.ts';

/** The style of all pages, and of the list of disputed judgements. */
const STYLE = `${COMMON}
figure { max-width: 31rem; }
ol.disputed { padding-left: 2.5rem; } ol.disputed li { margin-bottom: 0.8rem; }
`;

/**
 * An evaluation as one page, which may be attached to a mail: nothing is loaded, and nothing runs.
 * @param madeAt `2026-03-14 09:30 UTC`
 */
export function pageOf(evaluation: Evaluation, madeAt: string): string {
  return page(
    'What learning is worth here',
    STYLE,
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    [
      ...about(evaluation, madeAt),
      ...timeOrder(evaluation),
      ...crossValidation(evaluation),
      ...disputed(evaluation),
    ],
  );
}

function about({ messages, filter }: Evaluation, madeAt: string): readonly string[] {
  const { read, spam, ham, beside } = messages;
  return [
    '<h1>What learning is worth here</h1>',
    `<p>${plural(read, 'message')} that users judged: ${spam} spam, ${ham} ham. Each was judged by a private rspamd ${text(filter.version ?? '')} with ${text(settingsInWords(filter))}; the site's own filter was not asked.${filter.hasNamedClasses ? ` ${text(NAMED_CLASSES)}` : ''}</p>`,
    `<p class="quiet">Not judged: ${text(besideInWords(beside))}.</p>`,
    `<p class="quiet">Made by kopano-learnd evaluate, ${text(madeAt)}. In brackets 95 % intervals (Wilson; of 1-AUC Newcombe's method 5).</p>`,
  ];
}

function timeOrder({ timeOrder: part }: Evaluation): readonly string[] {
  const { orderedBy, all, speaking, curve } = part;
  const rows = curve.map((point) => {
    const { first, last, from, to, said } = point;
    const percents = shares(point).map((share) =>
      Number.isNaN(share) ? '-' : `${share.toFixed(1)} %`,
    );
    return [
      `${first}-${last}`,
      `${from} to ${to}`,
      `${said.spam.judged}`,
      `${said.ham.judged}`,
      ...percents,
    ];
  });
  const names = SERIES.map(({ name }) => name);
  const head = ['messages', 'when', 'spam', 'ham', ...names];
  const spoken =
    speaking === null
      ? NEVER_SPOKE
      : `Since Bayes speaks (from message ${speaking.first} on): ${figuresInWords(speaking.figures)}.`;
  return [
    '<h2>In time order</h2>',
    `<p>Each message was judged first and taught then, by ${text(orderInWords(orderedBy))}: what Bayes would have said before the user did. ${text(spoken)}</p>`,
    `<p>All of them: ${figuresInWords(all.figures)}.</p>`,
    figure(
      'The learning curve',
      learningCurvePlot(curve),
      keyOf(SERIES),
      table('Of the messages in a row', head, rows),
    ),
  ];
}

const CLASSES = VERDICTS.map((name) => ({ name, colour: `var(--${name})` }));

function crossValidation({ crossValidation: part, filter }: Evaluation): readonly string[] {
  const { folds, seed, said, figures, areaAbove, histogram, roc, failed } = part;
  const counts = VERDICTS.map((verdict) => {
    const { judged, spam, ham, nothing } = said[verdict];
    return [verdict, judged, spam, ham, nothing].map(String);
  });
  const asPercent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  const lowered = minLearnsInWords(part, filter);
  return [
    '<h2>Cross-validation</h2>',
    `<p>Each message judged by a filter that was taught the other ${folds - 1} of ${folds} parts (seed ${seed}), at rspamd's own thresholds.${failed > 0 ? ` ${failed} could not be judged in the end.` : ''} ${text(lowered ?? '')}</p>`,
    table(
      'Messages, by what Bayes said',
      ['judged as', 'messages', 'spam', 'ham', 'nothing'],
      counts,
    ),
    table(
      'Shares',
      ['', '95 % interval'],
      [
        ['spam caught', inPercent(figures.spamCaught)],
        ['ham lost', inPercent(figures.hamLost)],
        ['no opinion', inPercent(figures.noOpinion)],
        ['1-AUC', inPercent(areaAbove, 3)],
      ],
    ),
    figure(
      'Spam caught and ham lost at every threshold (ROC curve)',
      rocPlot(roc),
      '',
      table(
        'From each threshold on',
        ['threshold', 'ham lost', 'spam caught'],
        roc.map(({ threshold, hamLost, spamCaught }) => [
          threshold > 1 ? 'none' : threshold.toFixed(4),
          asPercent(hamLost),
          asPercent(spamCaught),
        ]),
      ),
    ),
    figure(
      'What Bayes thinks of the messages of each class',
      histogramPlot(histogram),
      keyOf(CLASSES),
      table(
        'Messages by how likely Bayes thinks spam; 0.5 is no opinion',
        ['how likely', ...VERDICTS],
        histogram.map((bin) => [
          `${bin.from.toFixed(2)}-${bin.to.toFixed(2)}`,
          `${bin.spam}`,
          `${bin.ham}`,
        ]),
      ),
    ),
  ];
}

function disputed({ disputed: list, relearn, outFile }: Evaluation): readonly string[] {
  if (list.count === 0) {
    return ['<h2>Disputed judgements</h2>', '<p>None: the archive contradicts no judgement.</p>'];
  }
  const left = list.count - list.messages.length;
  const how =
    outFile === null
      ? '<p>To teach some of them the other way, let <code>--out FILE</code> write their paths.</p>'
      : `<p>${outFile.paths} of their paths are in <code>${text(outFile.name)}</code>. Strike out there what was judged rightly; then, to teach the rest the other way:</p><pre>${text(relearn.join('\n'))}</pre>`;
  return [
    '<h2>Disputed judgements</h2>',
    `<p>${plural(list.count, 'judgement')} that the rest of the archive contradicts, the most contradicted first; ${text(sendersInWords(list))}.</p>`,
    table(
      'Where they come from',
      ['list or domain', 'messages'],
      list.senders.map(({ sender, messages }) => [sender, `${messages}`]),
    ),
    how,
    `<ol class="disputed">${list.messages.map(disputedEntry).join('\n')}</ol>`,
    ...(left > 0 ? [`<p>And ${left} more, which <code>--out FILE</code> has.</p>`] : []),
  ];
}

function disputedEntry(message: DisputedMessage): string {
  const { verdict, contradiction, senderOthers, senderOtherwise } = message;
  const { date, sender, subject, place } = message;
  const other = otherVerdict(verdict);
  return [
    `<li>judged <span class="${verdict}">${verdict}</span>, says Bayes <span class="${other}">${other}</span> ${(100 * contradiction).toFixed(1)} %; of ${plural(senderOthers, 'other message')} of its list or domain ${senderOtherwise} judged ${other};`,
    `${text(date)}, ${text(sender)}<br>${text(subject)}<br><code>${text(place)}</code></li>`,
  ].join(' ');
}
