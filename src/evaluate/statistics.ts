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
  scores: Float64Array,
  isSpam: (index: number) => boolean,
): number | undefined {
  let spam = 0;
  let ham = 0;
  // In halves of a pair, which stay whole numbers.
  let halves = 0;
  for (const { first, last, order } of runsOf(scores)) {
    let [spamHere, hamHere] = [0, 0];
    for (let at = first; at < last; at += 1) {
      if (isSpam(order[at] ?? 0)) spamHere += 1;
      else hamHere += 1;
    }
    halves += spamHere * (2 * ham + hamHere);
    spam += spamHere;
    ham += hamHere;
  }
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
export function rocCurve(scores: Float64Array, isSpam: (index: number) => boolean): RocPoint[] {
  // Nothing is as likely as this to be spam.
  const counts = [{ threshold: 2, ham: 0, spam: 0 }];
  let [spam, ham] = [0, 0];
  for (const { first, last, order } of runsOf(scores).reverse()) {
    for (let at = first; at < last; at += 1) {
      if (isSpam(order[at] ?? 0)) spam += 1;
      else ham += 1;
    }
    counts.push({ threshold: scores[order[first] ?? 0] ?? 0, ham, spam });
  }
  return counts.map((each) => ({
    threshold: each.threshold,
    hamLost: ham === 0 ? 0 : each.ham / ham,
    spamCaught: spam === 0 ? 0 : each.spam / spam,
  }));
}

/** Equal scores in a row, from the lowest up. */
interface Run {
  readonly first: number;
  readonly last: number;
  readonly order: Uint32Array;
}

function runsOf(scores: Float64Array): Run[] {
  const at = (index: number): number => scores[index] ?? 0;
  const order = Uint32Array.from(scores.keys()).sort((a, b) => at(a) - at(b));
  const runs: Run[] = [];
  for (let first = 0; first < order.length;) {
    let last = first + 1;
    while (last < order.length && at(order[last] ?? 0) === at(order[first] ?? 0)) last += 1;
    runs.push({ first, last, order });
    first = last;
  }
  return runs;
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
