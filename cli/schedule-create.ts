import { Option, type Command } from 'commander';
import { whenOf } from '../dag/trigger-text';
import { requireArgument } from '../errors/app-error';
import { OverlapPolicy, type Schedule } from '../schemas/schedules';
import { contextOf, wholeNumber } from './context';
import { printLine, printResult, say } from './output';
import { collect } from './params';
import { sendPipeline } from './run-start';

interface CreateOptions {
  readonly param: readonly string[];
  readonly code?: string;
  readonly name?: string;
  readonly cron?: string;
  readonly every?: number;
  readonly timezone?: string;
  readonly overlap?: OverlapPolicy;
  readonly catchUp?: number;
  readonly jitter?: number;
  readonly paused?: true;
  readonly note?: string;
}

const YEAR_SECONDS = 366 * 24 * 3600;
const DAY_SECONDS = 24 * 3600;
const HELP = `
Examples:
  anneal schedule create pipeline.yaml --cron "0 3 * * *" --timezone Europe/Berlin
  anneal schedule create pipeline.ts --every 3600 --name hourly -p epochs=5 --overlap buffer-one`;

/** Registers `anneal schedule create`. */
export function registerCreate(schedule: Command): void {
  schedule
    .command('create <file>')
    .description('run the pipeline in a .yaml or .ts file by the clock; replaces what has the name')
    .option('--name <name>', "the schedule's name (default: the pipeline's)")
    .option('--cron <expression>', 'minute, hour, day of month, month, day of week')
    .option('--every <seconds>', 'instead of --cron', wholeNumber(1, YEAR_SECONDS))
    .option('--timezone <zone>', 'of --cron, as Europe/Berlin (default: UTC)')
    .addOption(
      new Option(
        '--overlap <policy>',
        'what to do while the run before goes on (default: skip)',
      ).choices(OverlapPolicy.options),
    )
    .option(
      '--catch-up <seconds>',
      'after an outage, make up for runs this late (default: 3600)',
      wholeNumber(10, YEAR_SECONDS),
    )
    .option('--jitter <seconds>', 'start up to this much later', wholeNumber(0, DAY_SECONDS))
    .option('--paused', 'start no runs yet')
    .option('--note <text>', 'what it is for')
    .option('-p, --param <name=value>', 'a parameter; lists and the like as JSON', collect, [])
    .option(
      '--code <dir>',
      "the project's folder, sent to the workers (default: the file's folder)",
    )
    .addHelpText('after', HELP)
    .action(create);
}

async function create(file: string, options: CreateOptions, command: Command): Promise<void> {
  const context = contextOf(command);
  const { http, format, hint } = context;
  const { cron, every: everySeconds, timezone, overlap, paused, note } = options;
  requireArgument(
    (cron === undefined) !== (everySeconds === undefined),
    'Say when: with --cron or with --every, one of the two.',
  );
  const template = await sendPipeline(context, file, options);
  const name = options.name ?? template.plan.name;
  // what is undefined is left out, and the server's defaults hold
  const body = {
    ...{ ...template, cron, everySeconds, timezone, overlap, paused, note },
    ...{ catchUpSeconds: options.catchUp, jitterSeconds: options.jitter },
  };
  const path = `/api/v1/schedules/${encodeURIComponent(name)}`;
  const created = await http.put<Schedule>(path, body);
  if (format === 'json') {
    printResult('json', created);
    return;
  }
  printLine(name);
  say(`It runs ${whenOf(created)}; next: ${created.next[0] ?? 'never'}.`);
  say(`See: ${hint(`schedule show ${name}`)}`);
}
