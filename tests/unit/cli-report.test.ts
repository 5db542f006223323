import { CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodeOf, exitCodeOfRun } from '../../cli/exit-codes';
import { describeError, inFile } from '../../cli/report';
import { ANNEAL_VERSION } from '../../cli/version';
import { AppError } from '../../errors/app-error';
import { ERRORS, type ErrorCode } from '../../errors/codes';

const INVALID = new AppError('INVALID_PLAN', 'The pipeline has 2 problems, the first: …', {
  problems: [
    { path: 'steps.a', message: 'is wrong.', line: 4, column: 8 },
    { path: '', message: 'No steps.' },
  ],
});

describe('errors of the command line', () => {
  it('say what is wrong, what to do, and the code', () => {
    const error = new AppError('NOT_FOUND', "No pipeline run 'x' was found.");
    expect(describeError(error, 'table')).toEqual({
      lines: ["error: No pipeline run 'x' was found.", `  ${ERRORS.NOT_FOUND.advice} (NOT_FOUND)`],
      exitCode: 3,
    });
  });

  it('list every problem once, at the place where an editor finds it', () => {
    expect(describeError(inFile('p.yaml', INVALID), 'table').lines).toEqual([
      'error: The pipeline is not valid.',
      '  p.yaml:4:8: steps.a: is wrong.',
      '  p.yaml: No steps.',
      `  ${ERRORS.INVALID_PLAN.advice} (INVALID_PLAN)`,
    ]);
  });

  it('are one problem+json object for programs', () => {
    const { lines, exitCode } = describeError(inFile('p.yaml', INVALID), 'json');
    expect(exitCode).toBe(2);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      type: 'urn:anneal:error:INVALID_PLAN',
      title: 'The pipeline is not valid',
      status: 400,
      detail: 'The pipeline has 2 problems, the first: …',
      advice: ERRORS.INVALID_PLAN.advice,
      code: 'INVALID_PLAN',
      errors: [
        { file: 'p.yaml', path: 'steps.a', message: 'is wrong.', line: 4, column: 8 },
        { file: 'p.yaml', path: '', message: 'No steps.' },
      ],
    });
  });

  it('tell wrong words from help that was asked for', () => {
    const wrong = new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'");
    expect(describeError(wrong, 'table')).toMatchObject({ exitCode: 2 });
    expect(describeError(wrong, 'table').lines[0]).toBe("error: unknown option '--x'");
    expect(JSON.parse(describeError(wrong, 'json').lines[0] ?? '')).toMatchObject({
      code: 'INVALID_ARGUMENT',
      detail: "unknown option '--x'",
    });
    const help = new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)');
    expect(describeError(help, 'table')).toEqual({ lines: [], exitCode: 0 });
    const bare = new CommanderError(1, 'commander.help', '(outputHelp)');
    expect(describeError(bare, 'table')).toEqual({ lines: [], exitCode: 2 });
  });

  it('that nobody foresaw are told as they are', () => {
    expect(describeError(new Error('boom'), 'table')).toEqual({
      lines: ['error: boom'],
      exitCode: 1,
    });
    const [line = ''] = describeError('boom', 'json').lines;
    expect(JSON.parse(line)).toMatchObject({ code: 'INTERNAL', detail: 'boom' });
  });

  it('leave an error without problems alone', () => {
    const error = new AppError('NOT_FOUND', 'no file');
    expect(inFile('p.yaml', error)).toBe(error);
  });
});

describe('exit codes', () => {
  // scripts rely on them: 2 the command, 3 not found, 4 permission, 7 conflict, 8 unreachable
  const expected: Record<number, ErrorCode[]> = {
    2: ['INVALID_ARGUMENT', 'INVALID_PLAN', 'CONFIG_INVALID'],
    3: ['NOT_FOUND'],
    4: ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'FORBIDDEN_ORIGIN'],
    7: ['ALREADY_EXISTS', 'CONFLICT', 'INVALID_STATE'],
    8: ['DEPENDENCY_UNAVAILABLE', 'TEMPORAL_UNAVAILABLE'],
  };

  it.each(Object.keys(ERRORS) as ErrorCode[])('of %s', (code) => {
    const [exitCode = 1] = Object.entries(expected)
      .filter(([, codes]) => codes.includes(code))
      .map(([text]) => Number(text));
    expect(exitCodeOf(code)).toBe(exitCode);
  });

  it('tell how a watched run ended', () => {
    expect(['succeeded', 'failed', 'cancelled'].map(exitCodeOfRun)).toEqual([0, 5, 6]);
  });
});

it('carries the version of the package', () => {
  const manifest = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8');
  expect(ANNEAL_VERSION).toBe((JSON.parse(manifest) as { version: string }).version);
});
