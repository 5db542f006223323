import type { Command } from 'commander';
import { dirname } from 'node:path';
import { deadlineProblem } from '../dag/deadlines';
import { resolveParams } from '../dag/params';
import { requireArgument } from '../errors/app-error';
import type { Git } from '../schemas/git';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Params, Plan } from '../schemas/plan';
import { PRIORITY_MAX, PRIORITY_MIN } from '../workflows/contract';
import { contextOf, wholeNumber, type CliContext } from './context';
import { followRun } from './follow';
import { printForecast } from './forecast';
import { printLine, printResult, say } from './output';
import { collect, parseParams } from './params';
import { loadFile, sendCode, sendGit } from './project';

interface StartOptions {
  readonly param: readonly string[];
  readonly follow: boolean;
  readonly runKey?: string;
  readonly priority?: number;
  readonly deadline?: string;
  readonly code?: string;
  readonly dryRun: boolean;
}

const PATH = '/api/v1/pipeline-runs';
const HELP = `
Examples:
  anneal run start pipeline.yaml
  anneal run start pipeline.yaml --dry-run
  anneal run start pipeline.ts -p epochs=20 -p 'lrs=[0.01, 0.1]' -p name=first --follow

--follow -o json prints one object per line: {"type":"run",…} first and last, and in between
{"type":"transition",…} and {"type":"log",…} as they come.`;

/** Registers `anneal run start`. */
export function registerStart(run: Command): void {
  run
    .command('start <file>')
    .description('start the pipeline in a .yaml or .ts file')
    .option('-p, --param <name=value>', 'a parameter; lists and the like as JSON', collect, [])
    .option(
      '--code <dir>',
      "the project's folder, sent to the workers (default: the file's folder)",
    )
    .option('--run-key <key>', 'start at most once for this key')
    .option(
      '--priority <n>',
      '1 (first) to 5 (last); 3 unless given',
      wholeNumber(PRIORITY_MIN, PRIORITY_MAX),
    )
    .option('--deadline <when>', 'it is due by then: 6h from now, 18:00Z, 2026-01-31T18:00Z')
    .option('--dry-run', 'only say what would become of each step, and why', false)
    .option('--follow', 'stay and print what happens; Ctrl-C leaves the run going', false)
    .addHelpText('after', HELP)
    .action(start);
}

async function start(file: string, options: StartOptions, command: Command): Promise<void> {
  const context = contextOf(command);
  const { http } = context;
  checkDeadline(options.deadline);
  const template = await sendPipeline(context, file, options);
  if (options.dryRun) return printForecast(context, PATH, template);
  const started = await http.post<PipelineRun>(PATH, {
    ...template,
    ...(options.runKey === undefined ? {} : { runKey: options.runKey }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.deadline === undefined ? {} : { deadline: options.deadline }),
  });
  await showStarted(context, started, options);
}

/** INVALID_ARGUMENT for a deadline that is none or has passed, before anything is sent. */
export function checkDeadline(text: string | undefined): void {
  const problem = text === undefined ? undefined : deadlineProblem(text, Date.now());
  requireArgument(problem === undefined, problem ?? '');
}

/** Says that a run was started, or stays with it until its end. */
export async function showStarted(
  context: CliContext,
  started: PipelineRun,
  { follow }: { readonly follow: boolean },
): Promise<void> {
  const { id } = started;
  if (follow) {
    process.exitCode = await followRun(context, { id });
  } else if (context.format === 'json') {
    printResult('json', started);
  } else {
    printLine(id);
    say(`Started. Watch it with: ${context.hint(`run logs ${id} --follow`)}`);
  }
}

/** Checks a pipeline file and its params, and sends its code: what a run of it is started from. */
export async function sendPipeline(
  context: CliContext,
  file: string,
  options: SendOptions,
): Promise<Template> {
  const plan = await loadFile(file);
  const params = readParams(plan, options.param);
  return sendPlan(context, file, { ...options, plan, params });
}

type SendOptions = Pick<StartOptions, 'param' | 'code'> & { readonly dryRun?: boolean };
interface Template {
  readonly plan: Plan;
  readonly params: Params;
  readonly codeDigest: string;
  readonly git?: Git;
}

/** Sends the code of a pipeline; every mistake in the command was found before. */
export async function sendPlan(
  context: CliContext,
  file: string,
  send: Omit<SendOptions, 'param'> & Pick<Template, 'plan' | 'params'>,
): Promise<Template> {
  const { plan, params, code = dirname(file), dryRun } = send;
  const codeDigest = await sendCode(context, code, { plan, dryRun });
  const git = await sendGit(context, code, { dryRun });
  return { plan, params, codeDigest, ...(git === undefined ? {} : { git }) };
}

/** What was given, after it was checked as the server will; defaults stay the server's business. */
function readParams(plan: Plan, pairs: readonly string[]): Params {
  const given = parseParams(pairs, plan.params) as Params;
  resolveParams(plan, given);
  return given;
}
