import type { Command } from 'commander';
import { describeTrigger } from '../dag/trigger-text';
import type { PipelineRun, Step } from '../schemas/pipeline-runs';
import type { StepCounts } from '../schemas/run-graph';
import type { Http } from '../sdk/http';
import { contextOf, pathOfRun } from './context';
import { describeGit } from './git';
import { printResult, say } from './output';
import { describeCounts, describeProgress, describeRun, describeWhy } from './run-text';

type RunWithCounts = PipelineRun & { readonly steps: StepCounts };
interface StepPage {
  readonly steps: readonly Step[];
  readonly next: string | null;
}

/** A person reads what is not over; the whole list of a large run is for programs. */
const ROWS_MAX = 200;

/** All steps of a run, page by page. */
export async function readSteps(http: Http, id: string): Promise<Step[]> {
  const steps: Step[] = [];
  let after: string | null = null;
  do {
    const query: string = after === null ? '' : `?after=${encodeURIComponent(after)}`;
    const page: StepPage = await http.get<StepPage>(`${pathOfRun(id)}/steps${query}`);
    steps.push(...page.steps);
    after = page.next;
  } while (after !== null);
  return steps;
}

/** Registers `anneal run show`. */
export function registerShow(run: Command): void {
  run
    .command('show <id>')
    .description('show a run and its steps')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { http, format, hint } = contextOf(command);
      const shown = await http.get<RunWithCounts>(pathOfRun(id));
      const steps = await readSteps(http, id);
      if (format === 'json') {
        printResult('json', { ...shown, steps, counts: shown.steps });
        return;
      }
      say(`${describeRun(shown)}: ${describeCounts(shown.steps)}`);
      if (shown.trigger !== null) say(`Started by ${describeTrigger(shown.trigger)}`);
      if (shown.git !== null) say(`Code of commit ${describeGit(shown.git)}`);
      const rows = selectRows(steps);
      printResult(format, steps, tableOf(rows));
      if (rows.length < steps.length) {
        say(`${rows.length} of ${steps.length} steps. As a whole: ${hint(`run graph ${id}`)}`);
      }
      const failed = steps.find((step) => step.status === 'failed');
      if (failed !== undefined) {
        say(`What it printed: ${hint(`run logs ${id} --step '${failed.key}'`)}`);
      }
    });
}

/** With a column of its own where results were looked for. */
function tableOf(steps: readonly Step[]): {
  readonly columns: string[];
  readonly rows: string[][];
} {
  const hasCache = steps.some(({ cache }) => cache !== null);
  return {
    columns: [
      ...['step', 'status', ...(hasCache ? ['cache'] : [])],
      ...['progress', 'started', 'ended', 'reason'],
    ],
    rows: steps.map((step) => [
      step.key,
      step.status,
      ...(hasCache ? [step.cache === null ? '' : step.cache.hit ? 'hit' : 'miss'] : []),
      step.status === 'running' ? describeProgress(step.progress) : '',
      step.startedAt ?? '',
      step.endedAt ?? '',
      step.reason ?? '',
    ]),
  };
}

/** Of many steps those that failed or are under way, then those that wait, then the others. */
function selectRows(steps: readonly Step[]): readonly Step[] {
  if (steps.length <= ROWS_MAX) return steps;
  const interest = ({ status }: Step): number => {
    if (status === 'failed') return 0;
    if (status === 'running' || status === 'retrying') return 1;
    return status === 'waiting' ? 2 : 3;
  };
  const chosen = new Set([...steps].sort((a, b) => interest(a) - interest(b)).slice(0, ROWS_MAX));
  return steps.filter((step) => chosen.has(step));
}

/** Registers `anneal run why`. */
export function registerWhy(run: Command): void {
  run
    .command('why <id> [step]')
    .description('say why a step, or each one that has not ended, stands where it stands')
    .action(async (...[id, key, , command]: [string, string | undefined, unknown, Command]) => {
      const { http, format } = contextOf(command);
      const path = pathOfRun(id);
      const steps =
        key === undefined
          ? (await readSteps(http, id)).filter(({ endedAt }) => endedAt === null)
          : [await http.get<Step>(`${path}/steps/${encodeURIComponent(key)}`)];
      if (format === 'table' && key === undefined) await sayRun(http, id, steps);
      if (format === 'table' && steps.length === 0) return;
      printResult(
        format,
        steps.map(({ key: stepKey, status, reason, cache }) => ({
          ...{ key: stepKey, status, reason },
          ...(cache === null ? {} : { cache }),
        })),
        {
          columns: ['step', 'status', 'why'],
          rows: steps.slice(0, ROWS_MAX).map((step) => [step.key, step.status, describeWhy(step)]),
        },
      );
      if (format === 'table' && steps.length > ROWS_MAX) {
        say(`… and ${steps.length - ROWS_MAX} more.`);
      }
    });
}

/** What holds for the run as a whole: it has ended, or nobody has taken it up yet. */
async function sayRun(http: Http, id: string, open: readonly Step[]): Promise<void> {
  const run = await http.get<RunWithCounts>(pathOfRun(id));
  const { status, reason } = run;
  if (run.endedAt !== null) say(`The run ${status}${reason === null ? '.' : `: ${reason}`}`);
  else if (status === 'queued') say('The run waits for a control worker to take it up.');
  else if (open.length === 0) say('All its steps have ended; the run is about to.');
  if (run.endedAt === null && run.deadline !== null) say(`${describeRun(run)}.`);
}
