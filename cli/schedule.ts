import type { Command } from 'commander';
import { whenOf } from '../dag/trigger-text';
import { contextOf, wholeNumber, type CliContext } from './context';
import { printResult, say } from './output';
import { registerCreate } from './schedule-create';
import { SCHEDULES_MAX, type Schedule } from '../schemas/schedules';

/** Registers `anneal schedule`: runs that are started by the clock. */
export function registerSchedule(program: Command): void {
  const schedule = program.command('schedule').description('start runs by the clock');
  registerCreate(schedule);
  registerReads(schedule);
  registerPauses(schedule);
  schedule
    .command('trigger <name>')
    .description('start a run now, besides its times')
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const shown = await context.http.post<Schedule>(`${pathOf(name)}/trigger`, {});
      if (context.format === 'json') printResult('json', shown);
      else say(`${name} was triggered. See: ${context.hint(`schedule show ${name}`)}`);
    });
  schedule
    .command('backfill <name>')
    .description('start the runs of a time that is over; a time that had its run keeps it')
    .requiredOption('--from <time>', 'as 2026-01-31T00:00:00Z')
    .requiredOption('--to <time>', 'as 2026-02-28T00:00:00Z')
    .option('--overlap <policy>', 'what to do while a run goes on', 'allow')
    .action(async (name: string, body: object, command: Command) => {
      const { http, format } = contextOf(command);
      const { from, to, overlap } = body as Readonly<Record<string, string>>;
      const answer = await http.post<{ runs: number }>(`${pathOf(name)}/backfill`, {
        ...{ from, to, overlap },
      });
      if (format === 'json') printResult('json', answer);
      else say(`${answer.runs} runs of ${name} begin.`);
    });
  schedule
    .command('delete <name>')
    .description('remove a schedule; its runs stay')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      await http.delete(pathOf(name));
      if (format === 'json') printResult('json', { name, deleted: true });
      else say(`${name} was deleted.`);
    });
}

function registerReads(schedule: Command): void {
  schedule
    .command('ls')
    .description('list schedules by name')
    .option('--limit <n>', 'at most this many', wholeNumber(1, SCHEDULES_MAX), 50)
    .option('--after <name>', 'only those behind this name')
    .action(async (options: { limit: number; after?: string }, command: Command) => {
      const { http, format, hint } = contextOf(command);
      const query = new URLSearchParams({ limit: String(options.limit) });
      if (options.after !== undefined) query.set('after', options.after);
      const path = `/api/v1/schedules?${query.toString()}`;
      const page = await http.get<{ schedules: Schedule[]; next: string | null }>(path);
      printResult(format, page.schedules, {
        columns: ['name', 'when', 'state', 'next', 'last', 'pipeline'],
        rows: page.schedules.map((one) => [
          one.name,
          whenOf(one),
          stateOf(one),
          one.next[0] ?? '',
          one.runs[0]?.status ?? '',
          one.pipeline,
        ]),
      });
      if (page.next !== null && format === 'table') {
        say(`There are more: ${hint(`schedule ls --after ${page.next}`)}`);
      }
    });
  schedule
    .command('show <name>')
    .description('show a schedule, its next times and its last runs')
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      show(context, await context.http.get<Schedule>(pathOf(name)));
    });
}

function registerPauses(schedule: Command): void {
  const words = { pause: 'start no more runs', unpause: 'start runs again' };
  for (const action of ['pause', 'unpause'] as const) {
    schedule
      .command(`${action} <name>`)
      .description(words[action])
      .option('--note <text>', 'why', '')
      .action(async (name: string, { note }: { note: string }, command: Command) => {
        const { http, format } = contextOf(command);
        const shown = await http.post<Schedule>(`${pathOf(name)}/${action}`, { note });
        if (format === 'json') printResult('json', shown);
        else say(`${name} is ${stateOf(shown)}.`);
      });
  }
}

function show({ format }: CliContext, shown: Schedule): void {
  if (format === 'table') {
    say(
      `${shown.name}: ${shown.pipeline}, ${whenOf(shown)}, ${stateOf(shown)} ${shown.note}`.trim(),
    );
    for (const at of shown.next) say(`next: ${at}`);
  }
  printResult(format, shown, {
    columns: ['run', 'status', 'reason'],
    rows: shown.runs.map(({ id, status, reason }) => [id, status, reason ?? '']),
  });
}

function stateOf({ isKnown, isPaused }: Schedule): string {
  if (!isKnown) return 'lost: create it again';
  return isPaused ? 'paused' : 'active';
}

function pathOf(name: string): string {
  return `/api/v1/schedules/${encodeURIComponent(name)}`;
}
