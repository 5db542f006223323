import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ERRORS } from '../../errors/codes';
import { renderErrorsPage } from '../../scripts/errors-page';

/** The house rules: every finding reads `file:line what — do this instead`. */
const ROOT = join(__dirname, '..', '..');
const FILES = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '');
const SOURCES = FILES.filter((file) => /\.(ts|mjs|cjs)$/.test(file));

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

interface LineRule {
  readonly pattern: RegExp;
  readonly instead: string;
  readonly files: (file: string) => boolean;
}

function findings(rule: LineRule): string[] {
  return SOURCES.filter((file) => rule.files(file)).flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) =>
        rule.pattern.test(line) ? [`${file}:${i + 1} ${line.trim()} — ${rule.instead}`] : [],
      ),
  );
}

const notThis = (file: string): boolean => file !== 'tests/unit/tidy.test.ts';

describe('tidy', () => {
  it('leaves no unfinished work behind', () => {
    const pattern =
      /\b(TODO|FIXME|XXX)\b|\b(it|describe|test)\.(only|skip)\b|\b(xit|xdescribe|fit|fdescribe)\(|\bdebugger\b/;
    expect(findings({ pattern, instead: 'finish it or delete it', files: notThis })).toEqual([]);
  });

  it('keeps SQL in storage', () => {
    const pattern =
      /['"`]\s*(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s+\w+\s+SET|DELETE FROM|CREATE TABLE)\b/;
    const files = (file: string): boolean => !/^(storage|tests|bench)\//.test(file);
    expect(findings({ pattern, instead: 'move the statement to storage/', files })).toEqual([]);
  });

  it('reads the environment only in config', () => {
    const pattern = /process\.env\b/;
    const files = (file: string): boolean =>
      file.endsWith('.ts') && !/^(config|tests|bench)\//.test(file) && file !== 'jest.config.ts';
    expect(findings({ pattern, instead: 'add it to config/config.ts', files })).toEqual([]);
  });

  it('names files in kebab-case and keeps them at 300 lines or less', () => {
    const wrong = SOURCES.filter((file) => !/^[a-z0-9.-]+$/.test(basename(file)));
    const long = SOURCES.filter((file) => read(file).split('\n').length > 301);
    expect({ wrong, long }).toEqual({ wrong: [], long: [] });
  });

  it('numbers migrations without gaps', () => {
    for (const engine of ['postgres', 'clickhouse']) {
      const numbers = FILES.filter((f) => f.startsWith(`storage/${engine}/migrations/`))
        .map((f) => Number(basename(f).slice(0, 4)))
        .sort((a, b) => a - b);
      expect(numbers).toEqual(numbers.map((_, i) => i + 1));
    }
  });

  it('keeps docs/errors.md equal to the table of codes', () => {
    expect(read('docs/errors.md')).toBe(renderErrorsPage(ERRORS));
  });

  it('names only files that exist in the documents', () => {
    const missing = FILES.filter((f) => f.endsWith('.md') && !f.startsWith('node_modules')).flatMap(
      (doc) =>
        [
          ...read(doc).matchAll(
            /`((?:[a-z0-9-]+\/)+[a-z0-9.-]+\.(?:ts|sql|md|py|mjs|yml|yaml|json))`/g,
          ),
        ]
          .map((match) => match[1] ?? '')
          .filter((path) => !FILES.includes(path) && !path.startsWith('dist/'))
          .map((path) => `${doc} names ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it('speaks of itself alone: no absolute paths of a machine', () => {
    const pattern = /\/(work|root|home)\//;
    expect(findings({ pattern, instead: 'use a relative path', files: notThis })).toEqual([]);
  });
});
