/** Text from outside (file names, Message-IDs, reason phrases) made fit for a log line. */

// C0 and C1 controls and DEL, then what reorders or splits a line on a terminal: bidi controls,
// zero-width characters, line and paragraph separators, the byte order mark, lone surrogates.
const UNFIT =
  // eslint-disable-next-line no-control-regex -- control characters are what this removes
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu;

/** Replaces every unfit character by `?` and cuts after `limit` characters. */
export function clean(text: string, limit = 200): string {
  // Cut first: the cut may halve a character of two code units.
  if (text.length > limit) return `${text.slice(0, limit - 1).replace(UNFIT, '?')}…`;
  return text.replace(UNFIT, '?');
}

/** A count with its noun: `1 message`, `3 messages`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** As people list things: `a, b and c`. */
export function listed(words: readonly string[]): string {
  return new Intl.ListFormat('en-GB').format(words);
}

/**
 * One line of a table.
 * @param widths of the columns, in characters; a negative one aligns to the right, a missing one fits
 */
export function tableRow(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, column) => {
    const width = widths[column] ?? 0;
    return width < 0 ? cell.padStart(-width) : cell.padEnd(width);
  });
  return padded.join('  ').trimEnd();
}

/** A word of a command line: as it is, where no shell takes it for more. */
export function inShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A text without the quotes around it, if there are some. */
export function withoutQuotes(text: string): string {
  return /^(["'])(.*)\1$/s.exec(text)?.[2] ?? text;
}

/** What a person looks at. */
export interface Terminal {
  /** How wide it is now. */
  readonly columns: number;
  /** Unless NO_COLOR is set. */
  readonly hasColour: boolean;
}

/**
 * Breaks a line between its words.
 * @param indent what the second and later lines begin with
 * @param columns how long a line may be; one word may be longer
 */
export function wrap(text: string, columns: number, indent = ''): string {
  const lines: string[] = [];
  const [first = '', ...words] = text.split(' ');
  let line = first;
  for (const word of words) {
    if (line.trim() === '' || line.length + 1 + word.length <= columns) line = `${line} ${word}`;
    // Blanks that stand at the break go with it.
    else if (word !== '') {
      lines.push(line.trimEnd());
      line = `${indent}${word}`;
    }
  }
  return [...lines, line.trimEnd()].join('\n');
}
