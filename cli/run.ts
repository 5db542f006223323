import type { Command } from 'commander';
import { dirname, resolve } from 'node:path';
import { AppError } from '../errors/app-error';
import type { PipelineRun, Step } from '../schemas/pipeline-runs';
import { packCode, uploadCode } from '../sdk/code-bundle';
import { loadPipeline } from '../sdk/load-pipeline';
import { contextOf } from './context';
import { followRun, printLogs } from './follow';
import { printLine, printResult, say } from './output';

/** Registers `anneal run start|ls|show|logs|cancel`. */
export function registerRun(program: Command): void {
  const run = program.command('run').description('start, watch and stop pipeline runs');
  registerStart(run);
  registerReads(run);
  run
    .command('cancel <id>')
    .description('ask a run to stop; its steps get SIGTERM and 30 s to save')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const answer = await http.post(`/api/v1/pipeline-runs/${encodeURIComponent(id)}/cancel`, {});
      if (format === 'json') printResult('json', answer);
      else say(`Cancellation of ${id} was asked for. See: anneal run show ${id}`);
    });
}

interface StartOptions {
  readonly param: readonly string[];
  readonly follow: boolean;
  readonly runKey?: string;
  readonly code?: string;
}

function registerStart(run: Command): void {
  run
    .command('start <file>')
    .description('start the pipeline in a .yaml or .ts file')
    .option('-p, --param <name=value>', 'a parameter; the value is JSON or plain text', collect, [])
    .option(
      '--code <dir>',
      "the project's folder, sent to the workers (default: the file's folder)",
    )
    .option('--run-key <key>', 'start at most once for this key')
    .option('--follow', 'stay and print what happens', false)
    .action(async (file: string, options: StartOptions, command: Command) => {
      const context = contextOf(command);
      const params = parseParams(options.param);
      const plan = await loadPipeline(file);
      const packed = await packCode(resolve(options.code ?? dirname(file)));
      for (const warning of packed.warnings) say(`warning: ${warning}`);
      await uploadCode(context.http, packed);
      const started = await context.http.post<PipelineRun>('/api/v1/pipeline-runs', {
        plan,
        params,
        codeDigest: packed.digest,
        ...(options.runKey === undefined ? {} : { runKey: options.runKey }),
      });
      if (options.follow) await followRun(context, started.id);
      else if (context.format === 'json') printResult('json', started);
      else {
        printLine(started.id);
        say(`Started. Watch it with: anneal run logs ${started.id} --follow`);
      }
    });
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** `name=value` pairs; a value that is JSON is taken as JSON, anything else as text. */
export function parseParams(pairs: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) {
        throw new AppError('INVALID_ARGUMENT', `-p ${pair} is not of the form name=value.`);
      }
      return [pair.slice(0, at), parseValue(pair.slice(at + 1))];
    }),
  );
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function registerReads(run: Command): void {
  run
    .command('ls')
    .description('list the newest runs')
    .option('--limit <n>', 'at most this many', '20')
    .action(async (options: { limit: string }, command: Command) => {
      const { http, format } = contextOf(command);
      const path = `/api/v1/pipeline-runs?limit=${encodeURIComponent(options.limit)}`;
      const page = await http.get<{ runs: PipelineRun[] }>(path);
      printResult(format, page.runs, {
        columns: ['id', 'pipeline', 'status', 'created', 'reason'],
        rows: page.runs.map((r) => [r.id, r.pipeline, r.status, r.createdAt, r.reason ?? '']),
      });
    });
  run
    .command('show <id>')
    .description('show a run and its steps')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const path = `/api/v1/pipeline-runs/${encodeURIComponent(id)}`;
      const shown = await http.get<PipelineRun>(path);
      const { steps } = await http.get<{ steps: Step[] }>(`${path}/steps`);
      if (format === 'table') say(`${shown.pipeline} ${shown.status} ${shown.reason ?? ''}`.trim());
      printResult(
        format,
        { ...shown, steps },
        {
          columns: ['step', 'status', 'started', 'ended', 'reason'],
          rows: steps.map((step) => [
            step.key,
            step.status,
            step.startedAt ?? '',
            step.endedAt ?? '',
            step.reason ?? '',
          ]),
        },
      );
    });
  run
    .command('logs <id>')
    .description("print the steps' output")
    .option('--step <key>', 'one step only')
    .option('--follow', 'go on until the run ends', false)
    .action(async (id: string, options: { step?: string; follow: boolean }, command: Command) => {
      const context = contextOf(command);
      if (options.follow) await followRun(context, id, options.step);
      else await printLogs(context, id, options.step);
    });
}
