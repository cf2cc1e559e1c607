import { appendFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** A measured figure, what it should be, and a peer's figure of the same run. */
export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** At most this much; `undefined` where nobody set a target. */
  readonly atMost?: number | undefined;
  /** At least this much. */
  readonly atLeast?: number | undefined;
  readonly peer?: { readonly name: string; readonly value: number } | undefined;
}

/** A row with what else there is to say of it. */
export function row(
  what: string,
  value: number,
  unit: string,
  more: Pick<Row, 'atMost' | 'atLeast' | 'peer'> = {},
): Row {
  return { what, value, unit, ...more };
}

/** The peer of a row, if there is one. */
export function beside(name: string, value: number | undefined): Pick<Row, 'peer'> {
  return value === undefined ? {} : { peer: { name, value } };
}

/** What the figures were measured on. */
export const MACHINE = `Node.js ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`;

/** Prints the rows, and notes them for `npm run bench`, which prints those of all benches. */
export function printRows(title: string, rows: readonly Row[]): void {
  console.log(`\n${title}\n\n${tableOf(rows)}`);
  const file = process.env['BENCH_ROWS'];
  if (file !== undefined)
    appendFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/** The rows as aligned columns, for a terminal. */
function tableOf(rows: readonly Row[]): string {
  return columnsOf([
    ['figure', 'measured', 'target', '', 'peer in the same run', 'ratio to it'],
    ...rows.map((row) => [
      row.what,
      amount(row.value, row.unit),
      targetOf(row),
      verdictOn(row),
      row.peer === undefined ? '-' : `${row.peer.name}: ${amount(row.peer.value, row.unit)}`,
      row.peer === undefined ? '-' : `${ratio(row.value / row.peer.value)} x`,
    ]),
  ]);
}

/** Lines of cells as aligned columns. */
export function columnsOf(cells: readonly (readonly string[])[]): string {
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  );
  return cells
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function targetOf({ atMost, atLeast, unit }: Row): string {
  if (atLeast !== undefined) return `>= ${atLeast} ${unit}`.trimEnd();
  return atMost === undefined ? '-' : `<= ${atMost} ${unit}`.trimEnd();
}

function verdictOn({ value, atMost, atLeast }: Row): string {
  if (atMost === undefined && atLeast === undefined) return '';
  return value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity) ? 'met' : 'MISSED';
}

/** A figure with its unit, in about three digits. */
export function amount(value: number, unit: string): string {
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`.trimEnd();
}

function ratio(value: number): string {
  return value >= 0.01 || value === 0 ? value.toPrecision(2) : value.toFixed(5);
}
