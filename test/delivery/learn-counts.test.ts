import { beforeEach, describe, expect, test } from 'vitest';
import { LearnCounts } from '../../src/delivery/learn-counts.ts';

let watch: LearnCounts;
let now: number;

beforeEach(() => {
  watch = new LearnCounts();
  now = 0;
});

function show(spam: number | undefined, ham: number | undefined, learns: number): void {
  const uptimeSeconds = 3_600 + now / 1_000;
  watch.observe({ hasBackend: true, learned: { spam, ham }, learns, uptimeSeconds }, now);
}

/** Shows the same every five seconds. */
function showFor(seconds: number, spam: number, ham: number, learns: number): void {
  for (let i = 0; i < seconds; i += 5) {
    now += 5_000;
    show(spam, ham, learns);
  }
}

describe('what was gained', () => {
  test('by a turned verdict that is counted at each post is told a minute later', () => {
    showFor(70, 40, 10, 500);
    const from = now;
    showFor(5, 40, 10, 504);
    const until = now;
    showFor(60, 36, 14, 504);
    expect(watch.gained(from, until)).toBeUndefined();
    expect(watch.shows(from, until)).toBe(false);
    showFor(5, 36, 14, 504);
    expect(watch.gained(from, until)).toEqual({ spam: -4, ham: 4, learns: 4 });
    expect(watch.shows(from, until)).toBe(true);
  });

  test('is nothing where nothing was stored', () => {
    showFor(70, 40, 10, 500);
    const from = now;
    showFor(75, 40, 10, 504);
    expect(watch.gained(from, from + 5_000)).toEqual({ spam: 0, ham: 0, learns: 4 });
    expect(watch.shows(from, from + 5_000)).toBe(false);
  });

  test('is less than what was learned where a part was not stored', () => {
    showFor(70, 40, 10, 500);
    const from = now;
    showFor(75, 43, 10, 504);
    expect(watch.shows(from, from + 5_000)).toBe(false);
  });

  test('may be what was learned shortly before, so that has to show, too', () => {
    showFor(70, 40, 10, 500);
    showFor(5, 40, 10, 504);
    const from = now;
    showFor(75, 44, 10, 508);
    expect(watch.gained(from, from + 5_000)).toEqual({ spam: 4, ham: 0, learns: 8 });
    expect(watch.shows(from, from + 5_000)).toBe(false);
  });

  test('is counted from the larger of several looks: another worker may show an older figure', () => {
    showFor(60, 40, 10, 500);
    showFor(5, 44, 10, 500);
    showFor(5, 40, 10, 500);
    const from = now;
    showFor(75, 44, 10, 504);
    expect(watch.shows(from, from + 5_000)).toBe(false);
  });

  test('can not be told where nobody had looked for a minute before', () => {
    showFor(60, 40, 10, 500);
    const from = now;
    showFor(75, 44, 10, 504);
    expect(watch.gained(from, from + 5_000)).toBeUndefined();
  });

  test('can not be told across a start of rspamd, or where it has lost count', () => {
    showFor(70, 40, 10, 500);
    const from = now;
    now += 5_000;
    const learned = { spam: 44, ham: 10 };
    watch.observe({ hasBackend: true, learned, learns: 504, uptimeSeconds: 2 }, now);
    now += 70_000;
    watch.observe({ hasBackend: true, learned, learns: 504, uptimeSeconds: 72 }, now);
    expect(watch.gained(from, from + 5_000)).toBeUndefined();
    const later = now;
    showFor(70, 48, 10, 400);
    expect(watch.gained(later, later)).toBeUndefined();
  });

  test('can not be told while rspamd shows no figures', () => {
    showFor(70, 40, 10, 500);
    const from = now;
    for (let i = 0; i < 15; i += 1) {
      now += 5_000;
      show(undefined, undefined, 504);
    }
    expect(watch.gained(from, from + 5_000)).toBeUndefined();
  });
});
