import * as Plot from '@observablehq/plot';
import { Document, type Element, serializeToWellFormedString } from 'slimdom';
import type { CurvePoint, HistogramBin } from '../report.ts';
import type { RocPoint } from '../statistics.ts';

/**
 * The plots of the page, as SVG. Their colours are the page's variables, so that light and dark are
 * one drawing; they are as wide as a small telephone, and grow with the page.
 */

const WIDTH = 360;
const HEIGHT = 250;
const MARGINS = { marginLeft: 50, marginBottom: 40, marginTop: 24, marginRight: 12 };

/** The series of the learning curve: what they are drawn with, for the key as well. */
export const SERIES = [
  { name: 'spam caught', colour: 'var(--spam)', dash: 'none' },
  { name: 'ham lost', colour: 'var(--ham)', dash: '6 3' },
  { name: 'no opinion', colour: 'var(--none)', dash: '2 3' },
] as const;

/** What a point of the learning curve says, in percent; `NaN` of no message. */
export function shares({ said: { spam, ham } }: CurvePoint): readonly number[] {
  const all = spam.judged + ham.judged;
  const parts = [
    [spam.spam, spam.judged],
    [ham.spam, ham.judged],
    [spam.nothing + ham.nothing, all],
  ] as const;
  return parts.map(([count, total]) => (total === 0 ? NaN : (100 * count) / total));
}

export function learningCurvePlot(curve: readonly CurvePoint[]): string {
  const lines = SERIES.flatMap(({ colour, dash }, at) => {
    const points = curve.map((each) => ({ x: each.last, y: shares(each)[at] ?? NaN }));
    const style = { x: 'x', y: 'y', stroke: colour, strokeWidth: 2, strokeDasharray: dash };
    // A line through one point is none.
    const alone = points.filter(
      ({ y }, of) => isNumber(y) && !isNumber(points[of - 1]?.y) && !isNumber(points[of + 1]?.y),
    );
    const dot = { x: 'x', y: 'y', r: 3, fill: colour };
    return [Plot.lineY(points, style), Plot.dot(alone, dot)];
  });
  return drawn({
    x: { label: 'messages', ticks: 5, domain: [0, curve.at(-1)?.last ?? 1] },
    y: { label: '%', domain: [0, 100], grid: true, ticks: 5 },
    marks: [Plot.ruleY([0]), ...lines],
  });
}

function isNumber(value = NaN): boolean {
  return !Number.isNaN(value);
}

export function rocPlot(roc: readonly RocPoint[]): string {
  const points = roc.map(({ hamLost, spamCaught }) => ({ x: 100 * hamLost, y: 100 * spamCaught }));
  return drawn({
    // What matters is at the left end.
    x: { label: 'ham lost, %', type: 'sqrt', domain: [0, 100], ticks: [0, 1, 5, 20, 50, 100] },
    y: { label: 'spam caught, %', domain: [0, 100], grid: true, ticks: 5 },
    marks: [
      Plot.ruleY([0]),
      Plot.line(points, { x: 'x', y: 'y', stroke: 'var(--spam)', strokeWidth: 2 }),
    ],
  });
}

export function histogramPlot(bins: readonly HistogramBin[]): string {
  const half = (bins[0]?.to ?? 0) / 2;
  const bars = (verdict: 'spam' | 'ham', offset: number) =>
    Plot.rectY(
      bins.map((bin) => ({
        from: bin.from + offset,
        to: bin.from + offset + half,
        count: bin[verdict],
      })),
      { x1: 'from', x2: 'to', y: 'count', fill: `var(--${verdict})`, inset: 0.5 },
    );
  const most = Math.max(1, ...bins.flatMap(({ spam, ham }) => [spam, ham]));
  return drawn({
    x: { label: 'how likely spam, says Bayes', domain: [0, 1], ticks: 5 },
    // Most messages are at the ends, and what matters is between them.
    y: { label: 'messages', type: 'sqrt', domain: [0, most], grid: true, ticks: 5 },
    marks: [bars('ham', 0), bars('spam', half), Plot.ruleY([0])],
  });
}

function drawn(options: Plot.PlotOptions): string {
  const document = new Document();
  // Plot begins at the root element of a document.
  document.append(document.createElement('svg'));
  const plot: unknown = Plot.plot({
    ...MARGINS,
    ...options,
    // Its type needs that of a browser's.
    document: document as never,
    width: WIDTH,
    height: HEIGHT,
  });
  return serializeToWellFormedString(plot as Element);
}
