/** The figures of an evaluation: rates and areas, each with a 95 % interval. Pure. */

/** A figure and the bounds of its 95 % interval, all of them shares from 0 to 1. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** The quantile of the normal distribution that leaves 2.5 % above it. */
const Z = 1.959964;
/** Halvings of an interval: what is left is less than a double can hold. */
const HALVINGS = 60;

/**
 * A share with Wilson's score interval (Wilson 1927; Newcombe 1998, method 3).
 * @returns `undefined` of nothing
 */
export function shareOf(hits: number, total: number): Estimate | undefined {
  if (total === 0) return undefined;
  const value = hits / total;
  const centre = value + (Z * Z) / (2 * total);
  const reach = Z * Math.sqrt((value * (1 - value)) / total + (Z / (2 * total)) ** 2);
  const scale = 1 + (Z * Z) / total;
  // Exact where the rounding of a double would leave a hair: none is none.
  const low = hits === 0 ? 0 : (centre - reach) / scale;
  const high = hits === total ? 1 : (centre + reach) / scale;
  return { value, low, high };
}

/**
 * The area under the ROC curve: how often a spam message scores higher than a ham message, a tie
 * counting half (the Mann-Whitney statistic).
 * @param scores higher ones are more like spam
 * @param isSpam of each score
 * @returns `undefined` where a class is missing
 */
export function areaUnderRoc(
  scores: readonly number[],
  isSpam: (at: number) => boolean,
): number | undefined {
  let before = NOTHING;
  // In halves of a pair, which stay whole numbers.
  let halves = 0;
  for (const counts of countsFrom(scores, isSpam)) {
    halves += (counts.ham - before.ham) * (before.spam + counts.spam);
    before = counts;
  }
  const { spam, ham } = before;
  return spam === 0 || ham === 0 ? undefined : halves / (2 * spam * ham);
}

/** A point of the ROC curve: the shares of ham lost and of spam caught from one threshold on. */
export interface RocPoint {
  /** Scores from this one on count as spam. */
  readonly threshold: number;
  readonly hamLost: number;
  readonly spamCaught: number;
}

/** The ROC curve, from the strictest threshold down; its first point is (0, 0), its last (1, 1). */
export function rocCurve(scores: readonly number[], isSpam: (at: number) => boolean): RocPoint[] {
  const counts = countsFrom(scores, isSpam);
  const all = counts.at(-1) ?? NOTHING;
  return counts.map(({ threshold, ham, spam }) => ({
    threshold,
    hamLost: ham / Math.max(1, all.ham),
    spamCaught: spam / Math.max(1, all.spam),
  }));
}

/** Nothing is as likely as this to be spam. */
const NOTHING = { threshold: 2, ham: 0, spam: 0 };

/** How many messages of each class score at least so much, for each score, from above all of them down. */
function countsFrom(scores: readonly number[], isSpam: (at: number) => boolean) {
  const scoreOf = (at: number): number => scores[at] ?? 0;
  const counts = [NOTHING];
  let last = NOTHING;
  for (const at of [...scores.keys()].sort((a, b) => scoreOf(b) - scoreOf(a))) {
    if (last === NOTHING || scoreOf(at) !== last.threshold) {
      last = { ...last, threshold: scoreOf(at) };
      counts.push(last);
    }
    last[isSpam(at) ? 'spam' : 'ham'] += 1;
  }
  return counts;
}

/**
 * The area with the score interval that Newcombe made of Hanley's and McNeil's variance (Statistics
 * in Medicine 2006, 25:559, method 5): the areas that lie no further from the one that was seen than
 * their own standard errors allow. Like Wilson's it stays in its bounds, and it has a width where no
 * pair is out of order.
 */
export function areaWithInterval(area: number, spam: number, ham: number): Estimate {
  const isWithin = (candidate: number): boolean =>
    Math.abs(candidate - area) <= Z * standardErrorOfArea(candidate, spam, ham);
  return { value: area, low: bound(area, 0, isWithin), high: bound(area, 1, isWithin) };
}

/** Hanley's and McNeil's standard error of an area (1982), both classes taken as their mean size. */
export function standardErrorOfArea(area: number, spam: number, ham: number): number {
  const others = (spam + ham) / 2 - 1;
  const rest = 1 - area;
  const both = 1 + (others * rest) / (2 - area) + (others * area) / (1 + area);
  return Math.sqrt((area * rest * both) / (spam * ham));
}

/** The last place on the way from `inside` to `outside` that is within. */
function bound(inside: number, outside: number, isWithin: (place: number) => boolean): number {
  let [near, far] = [inside, outside];
  for (let step = 0; step < HALVINGS; step += 1) {
    const middle = (near + far) / 2;
    if (isWithin(middle)) near = middle;
    else far = middle;
  }
  return near;
}
