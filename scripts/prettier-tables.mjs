/**
 * A plugin of Prettier: tables in Markdown without padding, `| a | b |`, so that one long cell
 * doesn't fill every other row with blanks. Everything else is Prettier's own.
 */
import { doc } from 'prettier';
import * as own from 'prettier/plugins/markdown';

const RULES = { left: ':--', center: ':-:', right: '--:' };

function printTable(path, print) {
  const [head, ...body] = path.map(() => path.map(print, 'children'), 'children');
  const rules = head.map((_, column) => RULES[path.node.align[column]] ?? '---');
  const lines = [head, rules, ...body].map((cells) => [
    '| ',
    doc.builders.join(' | ', cells),
    ' |',
  ]);
  return doc.builders.join(doc.builders.hardline, lines);
}

/** Prettier takes the printer of the plugin that the parser is from. */
export const parsers = { markdown: own.parsers.markdown };

export const printers = {
  mdast: {
    ...own.printers.mdast,
    print: (path, options, print, args) =>
      path.node.type === 'table'
        ? printTable(path, print)
        : own.printers.mdast.print(path, options, print, args),
  },
};
