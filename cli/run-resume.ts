import type { Command } from 'commander';
import type { PipelineRun, RunDiff } from '../schemas/pipeline-runs';
import { contextOf, pathOfRun, type CliContext } from './context';
import { describeGit } from './git';
import { printForecast } from './forecast';
import { printLine, printResult, say } from './output';
import { collect, parseParams } from './params';
import { sendCode, sendGit } from './project';
import { showStarted } from './run-start';

interface ResumeOptions {
  readonly from?: string;
  readonly param: readonly string[];
  readonly code?: string;
  readonly dryRun: boolean;
  readonly follow: boolean;
}
type OfTwo = [a: string, b: string, options: unknown, command: Command];
/** Enough of a digest to tell two apart. */
const DIGEST_CHARS = 12;

/** Registers `anneal run resume` and `anneal run diff`. */
export function registerResume(run: Command): void {
  run
    .command('resume <id>')
    .description('start a new run that takes what a run that has ended has done already')
    .option('--from <step>', 'run this step, and all that follow from it, in any case')
    .option('-p, --param <name=value>', 'another value; the others stay as they were', collect, [])
    .option('--code <dir>', "other code: the project's folder (default: the code of that run)")
    .option('--dry-run', 'only say what would become of each step, and why', false)
    .option('--follow', 'stay and print what happens; Ctrl-C leaves the run going', false)
    .action(resume);
  run
    .command('diff <a> <b>')
    .description('say in what two runs differ')
    .action((...[a, b, , command]: OfTwo) => diff(contextOf(command), a, b));
  run
    .command('patch <id>')
    .description('print in what the code of a run differed from its commit')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const patch = await http.getText(`${pathOfRun(id)}/patch`);
      if (format === 'json') printResult('json', { patch });
      else printLine(patch.replace(/\n$/, ''));
    });
}

async function resume(id: string, options: ResumeOptions, command: Command): Promise<void> {
  const context = contextOf(command);
  const { http } = context;
  const before = await http.get<PipelineRun>(pathOfRun(id));
  const { from, dryRun, code } = options;
  const codeDigest = code === undefined ? undefined : await sendCode(context, code);
  const git = code === undefined ? undefined : await sendGit(context, code, { dryRun });
  const body = {
    params: parseParams(options.param, specsOf(before)),
    ...(from === undefined ? {} : { from }),
    ...(codeDigest === undefined ? {} : { codeDigest }),
    ...(git === undefined ? {} : { git }),
  };
  if (dryRun) return printForecast(context, `${pathOfRun(id)}/resume`, body);
  const started = await http.post<PipelineRun>(`${pathOfRun(id)}/resume`, body);
  await showStarted(context, started, options);
}

/** A value that was text stays text, even if it looks like a number. */
function specsOf({ params }: PipelineRun): Record<string, { readonly type: 'string' }> {
  const texts = Object.entries(params).filter(([, value]) => typeof value === 'string');
  return Object.fromEntries(texts.map(([name]) => [name, { type: 'string' } as const]));
}

async function diff({ http, format }: CliContext, a: string, b: string): Promise<void> {
  const found = await http.get<RunDiff>(`${pathOfRun(a)}/diff/${encodeURIComponent(b)}`);
  const rows = [
    ...rowsOf('pipeline', found.pipeline),
    ...rowsOf('plan', found.planId),
    ...rowsOf('code', found.codeDigest),
    ...(found.git === null ? [] : [['git', ...gitsOf(found.git), '']]),
    ...found.params.map((one) => [`param ${one.name}`, show(one.a), show(one.b), '']),
    ...found.steps.map(({ key, changed, ...one }) => [key, one.a ?? '', one.b ?? '', changed]),
    ...found.environments.map(({ steps, changed }) => [`where ${few(steps)} ran`, '', '', changed]),
  ];
  if (format === 'table' && rows.length === 0) say('They do not differ.');
  else printResult(format, found, { columns: ['what', 'a', 'b', 'changed'], rows });
}

function few([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}

function rowsOf(
  what: string,
  differs: { readonly a: string | null; readonly b: string | null } | null,
): string[][] {
  if (differs === null) return [];
  const [a, b] = [differs.a, differs.b].map((text) => text?.slice(0, DIGEST_CHARS) ?? '');
  return [[what, a ?? '', b ?? '', '']];
}
function gitsOf({ a, b }: NonNullable<RunDiff['git']>): string[] {
  return [a, b].map((git) => (git === null ? '' : describeGit(git)));
}
function show(value: unknown): string {
  return value === null ? '' : JSON.stringify(value);
}
