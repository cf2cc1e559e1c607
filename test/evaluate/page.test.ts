import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import { pageOf } from '../../src/evaluate/page/page.ts';
import { learningCurvePlot } from '../../src/evaluate/page/plots.ts';
import { inWords } from '../../src/evaluate/words.ts';
import { activeParts } from '../support/document.ts';
import type { Part } from '../support/document.ts';
import { EVALUATION, NASTY } from '../support/sample-evaluation.ts';

const page = pageOf(EVALUATION, '2026-03-14 09:30 UTC');
const { document } = parseHTML(page) as unknown as { readonly document: Part };

test('the page loads nothing and runs nothing, whatever the messages say', () => {
  expect(activeParts(document, /^on|^(xlink:)?href$|^src/)).toEqual([]);
  expect(page).not.toMatch(/url\(|@import/);
  const policy = document.querySelector('meta[http-equiv]')?.getAttribute('content');
  expect(policy).toBe("default-src 'none'; style-src 'unsafe-inline'");
  expect(document.querySelector('ol.disputed')?.textContent).toContain(NASTY);
});

test('every plot has lines or bars in the colours of the page, and its numbers as a table', () => {
  const figuresShown = [...document.querySelectorAll('figure')];
  expect(figuresShown).toHaveLength(3);
  for (const each of figuresShown) {
    const marks = [...each.querySelectorAll('[aria-label="line"], [aria-label="rect"]')];
    expect(marks.length).toBeGreaterThan(0);
    for (const mark of marks) expect(mark.outerHTML).toMatch(/var\(--(spam|ham|none)\)/);
    expect([...each.querySelectorAll('table tbody tr')].length).toBeGreaterThan(1);
    expect(each.querySelector('[aria-hidden="true"] > svg')).not.toBeNull();
  }
  const [curve] = figuresShown;
  expect(curve?.querySelector('tbody tr:last-child')?.textContent).toMatch(
    /201-300.*2026-01-01 to 2026-01-02.*100.*150.*90\.0 %.*0\.7 %.*6\.0 %/,
  );
});

test('text and page say the same figures', () => {
  const text = inWords(EVALUATION);
  for (const words of [
    '253 messages',
    "classes of this machine's Bayes have names",
    '2 duplicates, 1 too short for Bayes, 3 unreadable',
    'Received: 250, Date: 3',
    '97.1 % (96.0 to 97.9)',
    '0.123 % (0.050 to 0.200)',
    'here it speaks from 1 on',
    '2 judgements that the rest',
  ]) {
    expect(text).toContain(words);
    expect(document.querySelector('body')?.textContent).toContain(words);
  }
});

test('of a hundred messages or fewer the learning curve is a point, which shows', () => {
  const [point] = EVALUATION.timeOrder.curve;
  const plot = learningCurvePlot(point === undefined ? [] : [point]);
  expect(plot.match(/<circle/g)).toHaveLength(3);
  expect(learningCurvePlot(EVALUATION.timeOrder.curve)).not.toContain('<circle');
});
