/** Results go to stdout, talk goes to stderr: the only file that prints. */
export type OutputFormat = 'table' | 'json';

/** Columns of text; the last one is cut on a narrow terminal, for the others hold ids. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The last column is never cut below this: less says nothing. */
const LAST_COLUMN_MIN = 20;

/** Prints a result: one JSON document, or a table. An empty list is `[]`, or a note on stderr. */
export function printResult(format: OutputFormat, value: unknown, table?: Table): void {
  if (format === 'json' || table === undefined) {
    console.log(JSON.stringify(value, null, 2));
    return;
  }
  if (table.rows.length === 0) {
    say('Nothing found.');
    return;
  }
  // a pipe or a file gets everything: somebody may search it
  for (const line of renderTable(table, process.stdout.isTTY ? process.stdout.columns : undefined))
    console.log(line);
}

/** One line of plain text as a result. */
export function printLine(line: string): void {
  console.log(line);
}

/** One line of JSON as a part of a result that has no end yet. */
export function printJsonLine(value: object): void {
  console.log(JSON.stringify(value));
}

/** Talks to the person: progress, hints, errors. Never part of a result. */
export function say(line: string): void {
  console.error(line);
}

/** Columns padded to their widest cell, two spaces apart, no trailing blanks, one line per row. */
export function renderTable({ columns, rows }: Table, widthMax = Infinity): string[] {
  const all = [columns.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(flatten))];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => (cells[i] ?? '').length)));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const lastMax = Math.max(LAST_COLUMN_MIN, widthMax - before);
  return all.map((cells) =>
    widths
      .map((width, i) => (i < widths.length - 1 ? (cells[i] ?? '').padEnd(width) : cells[i]))
      .map((cell = '', i) => (i === widths.length - 1 ? cut(cell, lastMax) : cell))
      .join('  ')
      .trimEnd(),
  );
}

/** A text of other people in one cell: no line breaks, nothing that a terminal would obey. */
function flatten(text: string): string {
  return text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, '').replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
}

function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`;
}
