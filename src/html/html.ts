/** Pieces of a page. All that comes from outside goes through {@link text}. */

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

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
