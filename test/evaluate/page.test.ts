import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import type { Evaluation } from '../../src/evaluate/evaluation.ts';
import { pageOf } from '../../src/evaluate/page/page.ts';
import { inWords } from '../../src/evaluate/words.ts';

const NASTY = '<img src=x onerror="alert(1)"> & \'"';
const share = { value: 0.971, low: 0.96, high: 0.979 };
const said = {
  spam: { judged: 100, spam: 90, ham: 4, nothing: 6 },
  ham: { judged: 150, spam: 1, ham: 140, nothing: 9 },
};
const figures = { spamCaught: share, hamLost: share, noOpinion: null };

const EVALUATION: Evaluation = {
  filter: {
    version: '3.4',
    from: 'site',
    settings: { tokenizer: 'osb', min_tokens: 11, min_learns: 200 },
  },
  messages: {
    read: 253,
    spam: 102,
    ham: 151,
    beside: {
      ...{ duplicates: 2, short: 1, failed: 0, notMail: 0, passedOver: 0, unreadable: 3, older: 0 },
    },
  },
  timeOrder: {
    orderedBy: { archive: 0, received: 250, date: 3, file: 0 },
    seconds: 2,
    all: { said, figures },
    speaking: { first: 12, said, figures },
    curve: [1, 2, 3].map((point) => ({
      first: 100 * point - 99,
      last: 100 * point,
      from: '2026-01-01',
      to: '2026-01-02',
      said,
    })),
  },
  crossValidation: {
    ...{ folds: 5, seed: 1, seconds: 9, minLearns: 1, failed: 0, said, figures },
    areaAbove: { value: 0.00123, low: 0.0005, high: 0.002 },
    histogram: [
      { from: 0, to: 0.5, spam: 10, ham: 149 },
      { from: 0.5, to: 1, spam: 90, ham: 1 },
    ],
    roc: [
      { threshold: 2, hamLost: 0, spamCaught: 0 },
      { threshold: 0.9, hamLost: 0.01, spamCaught: 0.9 },
      { threshold: 0, hamLost: 1, spamCaught: 1 },
    ],
  },
  disputed: {
    count: 2,
    byVerdict: { spam: 1, ham: 1 },
    senders: [{ sender: NASTY, messages: 2 }],
    sendersOfHalf: 1,
    differentSenders: 1,
    messages: (['spam', 'ham'] as const).map((verdict) => ({
      ...{ verdict, contradiction: 0.98, senderOthers: 9, senderOtherwise: 8, date: '2026-01-01' },
      ...{ place: `/a/${NASTY}`, sender: NASTY, subject: NASTY },
    })),
  },
  outFile: { name: '/tmp/list', paths: 2 },
  relearn: [`cat ${NASTY}`],
};

/** As much of a document as is looked at; linkedom's own types need a browser's. */
interface Part {
  readonly localName: string;
  readonly outerHTML: string;
  readonly textContent: string;
  readonly attributes: Iterable<{ readonly name: string }>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Part | null;
  querySelectorAll(selector: string): Iterable<Part>;
}

const page = pageOf(EVALUATION, '2026-03-14 09:30 UTC');
const { document } = parseHTML(page) as unknown as { readonly document: Part };

test('the page loads nothing and runs nothing, whatever the messages say', () => {
  const all = [...document.querySelectorAll('*')];
  const names = new Set(all.map(({ localName }) => localName));
  for (const name of ['script', 'img', 'link', 'iframe', 'object', 'use', 'image', 'a', 'base']) {
    expect(names).not.toContain(name);
  }
  const attributes = all.flatMap((each) => [...each.attributes].map(({ name }) => name));
  expect(attributes.filter((name) => /^on|^(xlink:)?href$|^src/.test(name))).toEqual([]);
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
