/** Pieces of a page. All that comes from outside goes through {@link text}. */

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
export interface Drawn {
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
