/** Results go to stdout, talk goes to stderr: the only file that prints. */
export type OutputFormat = 'table' | 'json';

/** Prints a result: JSON as it is, or a table of the chosen columns. An empty list is `[]` or a note. */
export function printResult(
  format: OutputFormat,
  value: unknown,
  table?: { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] },
): void {
  if (format === 'json' || table === undefined) {
    console.log(JSON.stringify(value, null, 2));
    return;
  }
  if (table.rows.length === 0) {
    say('Nothing found.');
    return;
  }
  for (const line of renderTable(table.columns, table.rows)) console.log(line);
}

/** One line of plain text as a result. */
export function printLine(line: string): void {
  console.log(line);
}

/** Talks to the person: progress, hints, errors. Never part of a result. */
export function say(line: string): void {
  console.error(line);
}

/** Columns padded to their widest cell, two spaces apart, no trailing blanks. */
export function renderTable(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const all = [columns.map((name) => name.toUpperCase()), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => (cells[i] ?? '').length)));
  return all.map((cells) =>
    widths
      .map((width, i) => (cells[i] ?? '').padEnd(width))
      .join('  ')
      .trimEnd(),
  );
}
