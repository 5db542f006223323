import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERRORS, type ErrorRow } from '../errors/codes';

/** docs/errors.md as text: one row per code. Run this file to write the page. */
export function renderErrorsPage(table: Readonly<Record<string, ErrorRow>>): string {
  const rows = Object.entries(table).map(
    ([code, row]) =>
      `| ${code} | ${row.title} | ${row.status} | ${row.fault} | ${row.retryable ? 'yes' : 'no'} | ${row.advice} |`,
  );
  return [
    '# Error codes',
    '',
    'Generated from `errors/codes.ts` by `npm run docs:errors`. The code is stable; texts may improve.',
    '*Fault* says who must act: the user (the request), the operator (the installation) or Anneal (a bug).',
    '*Retry* says whether the same request may succeed later without a change.',
    '',
    '| code | what | HTTP | fault | retry | what to do |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

if (require.main === module) {
  writeFileSync(join('docs', 'errors.md'), renderErrorsPage(ERRORS));
}
