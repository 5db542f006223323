import type { Command } from 'commander';
import { requireArgument } from '../errors/app-error';
import type { ControlPipelineRun, PipelineRun } from '../schemas/pipeline-runs';
import { PRIORITY_MAX, PRIORITY_MIN } from '../workflows/contract';
import { contextOf, pathOfRun } from './context';
import { printResult, say } from './output';
import { checkDeadline } from './run-start';

interface Steer {
  readonly id: string;
  readonly control: ControlPipelineRun;
  readonly done: string; // for a person
}

/** Registers `anneal run pause|continue|skip|retry|priority|deadline`: steers a run that is under way. */
export function registerControls(run: Command): void {
  withReason(run.command('pause <id>'))
    .description('start no more steps; what runs goes on')
    .action((id: string, { reason }: WithReason, command: Command) =>
      steer(command, { id, control: { action: 'pause', reason }, done: 'is paused' }),
    );
  withReason(run.command('continue <id>'))
    .description('start steps again after a pause')
    .action((id: string, { reason }: WithReason, command: Command) =>
      steer(command, { id, control: { action: 'continue', reason }, done: 'goes on' }),
    );
  withReason(run.command('skip <id> <step>'))
    .description('end a step without it; if it runs, it is stopped. What needs it is skipped, too')
    .action((...[id, stepKey, { reason }, command]: OfStep) =>
      steer(command, {
        id,
        control: { action: 'skip', stepKey, reason },
        done: `leaves out ${stepKey}`,
      }),
    );
  withReason(run.command('retry <id> <step>'))
    .description('run a failed step again while the run is under way, and what it held up')
    .action((...[id, stepKey, { reason }, command]: OfStep) =>
      steer(command, {
        id,
        control: { action: 'retry', stepKey, reason },
        done: `runs ${stepKey} again`,
      }),
    );
  withReason(run.command('priority <id> <priority>'))
    .description(`say how soon its steps get workers: ${PRIORITY_MIN} first, ${PRIORITY_MAX} last`)
    .action((...[id, text, { reason }, command]: OfStep) => {
      const priority = Number(text);
      requireArgument(
        Number.isInteger(priority) && priority >= PRIORITY_MIN && priority <= PRIORITY_MAX,
        `The priority '${text}' is not a whole number from ${PRIORITY_MIN} to ${PRIORITY_MAX}.`,
      );
      const control = { action: 'priority', priority, reason } as const;
      return steer(command, { id, control, done: `has priority ${priority} from now on` });
    });
  registerDeadline(run);
}

function registerDeadline(run: Command): void {
  withReason(run.command('deadline <id> <when>'))
    .description('say when it is due: +2h from now, 18:00Z, 2026-01-31T18:00Z, or none')
    .action((...[id, text, { reason }, command]: OfStep) => {
      const deadline = text === 'none' ? null : text;
      checkDeadline(deadline ?? undefined);
      const done = deadline === null ? 'has no deadline any more' : 'has another deadline';
      return steer(command, { id, control: { action: 'deadline', deadline, reason }, done });
    });
}

interface WithReason {
  readonly reason: string;
}

type OfStep = [id: string, word: string, options: WithReason, command: Command];

function withReason(command: Command): Command {
  return command.option('--reason <text>', 'why, for those who look at the run later', '');
}

async function steer(command: Command, { id, control, done }: Steer): Promise<void> {
  const { http, format, hint } = contextOf(command);
  const answer = await http.post<PipelineRun>(`${pathOfRun(id)}/control`, control);
  if (format === 'json') printResult('json', answer);
  else say(`The run ${id} ${done}. See: ${hint(`run show ${id}`)}`);
}
