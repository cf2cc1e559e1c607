/** Pieces of a page, and the style of all pages. All that comes from outside goes through {@link text}. */

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A page with its style in it: nothing is loaded, and nothing runs. */
export function page(title: string, style: string, head: string, body: readonly string[]): string {
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `${head}<title>${text(title)}</title><style>${style}</style></head><body>`,
    ...body,
    '</body></html>',
    '',
  ].join('\n');
}

/** Any text as HTML, between tags or in a quoted attribute. */
export function text(raw: string): string {
  return raw.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

/** A table of texts; its first column names the rows. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const heads = head.map((each) => `<th scope="col">${text(each)}</th>`);
  const lines = rows.map(([name = '', ...cells]) => {
    const data = cells.map((each) => `<td>${text(each)}</td>`);
    return `<tr><th scope="row">${text(name)}</th>${data.join('')}</tr>`;
  });
  return [
    `<div class="wide"><table><caption>${text(caption)}</caption>`,
    `<thead><tr>${heads.join('')}</tr></thead>`,
    `<tbody>${lines.join('\n')}</tbody></table></div>`,
  ].join('\n');
}

/**
 * A plot with its title, its key and its numbers, which a screen reader has instead of the plot.
 * @param svg of the plot, as it is; `key` is HTML
 */
export function figure(title: string, svg: string, key: string, numbers: string): string {
  return [
    `<figure><figcaption><h3>${text(title)}</h3>${key}</figcaption>`,
    `<div aria-hidden="true">${svg}</div>`,
    `<details><summary>The numbers</summary>${numbers}</details></figure>`,
  ].join('\n');
}

/** What a colour of a plot stands for. */
interface Drawn {
  readonly name: string;
  readonly colour: string;
  /** How its line is drawn. */
  readonly dash?: string;
}

export function keyOf(series: readonly Drawn[]): string {
  const entries = series.map(
    ({ name, colour, dash = 'none' }) =>
      `<span><svg viewBox="0 0 24 8" aria-hidden="true"><line x1="0" y1="4" x2="24" y2="4" stroke="${colour}" stroke-width="3" stroke-dasharray="${dash}"/></svg> ${text(name)}</span>`,
  );
  return `<div class="key">${entries.join('')}</div>`;
}

/** The style of all pages: the reader's own fonts, light or dark as their system is, any width from 360 px. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1b1b1f; --quiet: #55565c; --line: #c9c9d0;
  --spam: #b3261e; --ham: #0b57d0; --none: #5f6368;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #151519; --text: #e6e6ea; --quiet: #b4b5bd; --line: #45464f;
    --spam: #ff8a80; --ham: #8ab4f8; --none: #bdc1c6;
  }
}
body {
  margin: 0 auto; padding: 1rem; max-width: 46rem;
  background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 0; }
p.quiet, .key { color: var(--quiet); font-size: 0.9rem; }
figure { margin: 1.5rem 0; max-width: 36rem; }
figure svg { width: 100%; height: auto; font-size: 12px; }
.key span { white-space: nowrap; margin-right: 1em; }
.key svg { width: 2em; height: 0.8em; vertical-align: middle; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0.5rem 0; }
caption { text-align: left; color: var(--quiet); font-size: 0.9rem; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; overflow-wrap: normal; }
th:first-child { text-align: left; overflow-wrap: anywhere; }
@media (max-width: 30rem) { th, td { padding: 0.2rem 0.3rem; font-size: 0.9rem; } }
code, pre { font-size: 0.85rem; } pre { white-space: pre-wrap; }
.spam { color: var(--spam); font-weight: bold; } .ham { color: var(--ham); font-weight: bold; }
`;
