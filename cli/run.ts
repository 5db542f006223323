import { Option, type Command } from 'commander';
import { suggest } from '../dag/suggest';
import { AppError } from '../errors/app-error';
import { PipelineRunStatus, type PipelineRun } from '../schemas/pipeline-runs';
import { contextOf, pathOfRun, wholeNumber, type CliContext } from './context';
import { followRun, printLogs } from './follow';
import { printResult, say } from './output';
import { registerCard } from './run-card';
import { registerControls } from './run-controls';
import { registerGraph } from './run-graph';
import { readSteps, registerShow, registerWhy } from './run-show';
import { registerResume } from './run-resume';
import { registerStart } from './run-start';

/** What the api gives in one page. */
const RUNS_MAX = 200;

/** Registers `anneal run`: everything about pipeline runs. */
export function registerRun(program: Command): void {
  const run = program.command('run').description('start, watch and stop pipeline runs');
  registerStart(run);
  registerList(run);
  registerShow(run);
  registerWhy(run);
  registerGraph(run);
  registerLogs(run);
  registerCard(run);
  registerControls(run);
  registerResume(run);
  run
    .command('cancel <id>')
    .description('ask a run to stop; its steps get SIGTERM and 30 s to save')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { http, format, hint } = contextOf(command);
      const answer = await http.post(`${pathOfRun(id)}/cancel`, {});
      if (format === 'json') printResult('json', answer);
      else say(`Cancellation of ${id} was asked for. See: ${hint(`run show ${id}`)}`);
    });
}

interface ListOptions {
  readonly limit: number;
  readonly status?: string;
  readonly pipeline?: string;
}

function registerList(run: Command): void {
  run
    .command('ls')
    .description('list the newest runs')
    .option('--limit <n>', 'at most this many', wholeNumber(1, RUNS_MAX), 20)
    .addOption(new Option('--status <status>', 'only these').choices(PipelineRunStatus.options))
    .option('--pipeline <name>', 'only those of this pipeline')
    .action(async ({ limit, status, pipeline }: ListOptions, command: Command) => {
      const { http, format } = contextOf(command);
      const query = new URLSearchParams({ limit: String(limit) });
      if (status !== undefined) query.set('status', status);
      if (pipeline !== undefined) query.set('pipeline', pipeline);
      const path = `/api/v1/pipeline-runs?${query.toString()}`;
      const page = await http.get<{ runs: PipelineRun[]; next: string | null }>(path);
      printResult(format, page.runs, {
        columns: ['id', 'pipeline', 'status', 'created', 'reason'],
        rows: page.runs.map((r) => [r.id, r.pipeline, r.status, r.createdAt, r.reason ?? '']),
      });
      if (page.next !== null && format === 'table' && limit < RUNS_MAX) {
        say(`There are older ones: show more with --limit.`);
      }
    });
}

interface LogOptions {
  readonly step?: string;
  readonly follow: boolean;
}

function registerLogs(run: Command): void {
  run
    .command('logs <id>')
    .description("print the steps' output, in the order in which it arrived")
    .option('--step <key>', 'one step only, as run show names it')
    .option('--follow', 'go on until the run ends', false)
    .action(async (id: string, { step, follow }: LogOptions, command: Command) => {
      const context = contextOf(command);
      if (step !== undefined) await requireStep(context, { id, step });
      if (follow) {
        process.exitCode = await followRun(context, { id, step });
        return;
      }
      const lineCount = await printLogs(context, { id, step });
      if (lineCount === 0 && context.format === 'table') say('Nothing was printed yet.');
    });
}

/** A mistyped step must not look like one that prints nothing. */
async function requireStep(
  { http, hint }: CliContext,
  { id, step }: { readonly id: string; readonly step: string },
): Promise<void> {
  const steps = await readSteps(http, id);
  const keys = steps.map(({ key }) => key);
  if (keys.includes(step)) return;
  // a run that waits to begin has no steps yet
  if (keys.length === 0 && (await http.get<PipelineRun>(pathOfRun(id))).endedAt === null) return;
  const message = `The run has no step '${step}'.${suggest(step, keys)} See: ${hint(`run show ${id}`)}`;
  throw new AppError('NOT_FOUND', message);
}
