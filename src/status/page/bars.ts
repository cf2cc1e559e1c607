import { text } from '../../html/html.ts';

/**
 * Bars by day as SVG. Not by Plot, which draws for `evaluate`: a daemon that had loaded it kept 36 MB of
 * memory for good, and 18 MB where a thread did and ended, after a second of CPU time for each look.
 */

/** What is drawn in one row: of each class, its number on each day. */
interface Band {
  readonly name: string;
  readonly height: number;
  readonly series: readonly { readonly colour: string; readonly counts: readonly number[] }[];
}

/** As wide as a small telephone; grows with the page. */
const WIDTH = 360;
/** Half of a day's name, which stays inside. */
const HALF_NAME = 18;
const LINE = 18;
/** A name for each day of a week, for each week of a month, and for each month. */
const DAYS_OF_NAME = [
  [7, 1],
  [31, 7],
  [Infinity, 30],
] as const;

/** @param days as `2026-03-14`, in order; the last one always has its name */
export function barsPlot(days: readonly string[], bands: readonly Band[]): string {
  const step = WIDTH / days.length;
  const parts: string[] = [];
  let top = 0;
  for (const band of bands) {
    parts.push(...drawnBand(band, days.length, top, step));
    top += LINE + band.height + 6;
  }
  const [, every] = DAYS_OF_NAME.find(([most]) => days.length <= most) ?? DAYS_OF_NAME[0];
  for (const [index, day] of days.entries()) {
    if ((days.length - 1 - index) % every !== 0) continue;
    const x = round(Math.min((index + 0.5) * step, WIDTH - HALF_NAME));
    parts.push(`<text x="${x}" y="${top + 10}" text-anchor="middle">${text(day.slice(5))}</text>`);
  }
  return `<svg viewBox="0 0 ${WIDTH} ${top + 14}">${parts.join('')}</svg>`;
}

function drawnBand({ name, height, series }: Band, days: number, top: number, step: number) {
  const sums = Array.from({ length: days }, (_, day) =>
    series.reduce((sum, { counts }) => sum + (counts[day] ?? 0), 0),
  );
  const most = Math.max(...sums);
  const all = sums.reduce((sum, each) => sum + each, 0);
  const base = top + LINE + height;
  const drawn = [
    `<text x="0" y="${top + 12}">${text(name)}: ${all}</text>`,
    ...(most === 0
      ? []
      : [`<text x="${WIDTH}" y="${top + 12}" text-anchor="end">at most ${most} a day</text>`]),
    `<rect y="${base}" width="${WIDTH}" height="1" fill="var(--line)"/>`,
  ];
  for (let day = 0; day < days; day += 1) {
    let y = base;
    for (const { colour, counts } of series) {
      const count = counts[day] ?? 0;
      if (count === 0) continue;
      const tall = Math.max(1, (count / most) * height);
      y -= tall;
      const [x, width] = [(day + 0.12) * step, step * 0.76];
      drawn.push(
        `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(tall)}" fill="${colour}"/>`,
      );
    }
  }
  return drawn;
}

/** One bar of how much of something is reached. */
export function progressBar(share: number, colour: string): string {
  const width = round(100 * Math.min(1, Math.max(0, share)));
  return `<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="1" fill="var(--line)"/><rect width="${width}" height="1" fill="${colour}"/></svg>`;
}

function round(length: number): number {
  return Math.round(100 * length) / 100;
}
