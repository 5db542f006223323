import type { Command } from 'commander';
import { describeTriggers } from '../dag/trigger-text';
import {
  DEPLOYMENTS_MAX,
  type DeployedPipeline,
  type HookToken,
  type ShownPipeline,
} from '../schemas/deployments';
import { contextOf, pathOfPipeline, wholeNumber } from './context';
import { describeGit } from './git';
import { printResult, say } from './output';
import { sayHook } from './pipeline-deploy';

/** Registers `anneal pipeline ls|show|hook-token|delete`: what is deployed. */
export function registerDeployed(pipeline: Command): void {
  registerList(pipeline);
  pipeline
    .command('show <name>')
    .description('show a deployed pipeline: what starts its runs, and its versions')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format, api } = contextOf(command);
      const shown = await http.get<ShownPipeline>(pathOfPipeline(name));
      if (format === 'table') {
        for (const line of describe(shown)) say(line);
        if (shown.hookPath !== null) say(`webhook: POST ${new URL(shown.hookPath, api).href}`);
      }
      printResult(format, shown, {
        columns: ['version', 'deployed', 'by', 'commit', 'plan'],
        rows: shown.history.map((one) => [
          String(one.version),
          one.deployedAt,
          one.deployedBy,
          one.git === null ? '' : describeGit(one.git),
          one.planId.slice(0, 12),
        ]),
      });
    });
  pipeline
    .command('hook-token <name>')
    .description("make a new token for a deployed pipeline's webhook; the old one ends")
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format, api } = contextOf(command);
      const hook = await http.post<HookToken>(`${pathOfPipeline(name)}/hook-token`, {});
      if (format === 'json') printResult('json', hook);
      else sayHook({ api }, hook);
    });
  pipeline
    .command('delete <name>')
    .description('start no more runs of a deployed pipeline by itself; its runs stay')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      await http.delete(pathOfPipeline(name));
      if (format === 'json') printResult('json', { name, deleted: true });
      else say(`${name} is deployed no longer; its runs stay.`);
    });
}

function registerList(pipeline: Command): void {
  pipeline
    .command('ls')
    .description('list deployed pipelines by name')
    .option('--limit <n>', 'at most this many', wholeNumber(1, DEPLOYMENTS_MAX), 50)
    .option('--after <name>', 'only those behind this name')
    .action(async (options: { limit: number; after?: string }, command: Command) => {
      const { http, format, hint } = contextOf(command);
      const query = new URLSearchParams({ limit: String(options.limit) });
      if (options.after !== undefined) query.set('after', options.after);
      type Page = { readonly pipelines: DeployedPipeline[]; readonly next: string | null };
      const { pipelines, next } = await http.get<Page>(`/api/v1/pipelines?${query.toString()}`);
      printResult(format, pipelines, {
        columns: ['name', 'version', 'deployed', 'by', 'last run', 'started by'],
        rows: pipelines.map((one) => [
          one.name,
          String(one.version),
          one.deployedAt,
          one.deployedBy,
          one.lastRun?.status ?? '',
          describeTriggers(one.triggers).join('; '),
        ]),
      });
      if (next !== null && format === 'table') {
        say(`There are more: ${hint(`pipeline ls --after ${next}`)}`);
      }
    });
}

function describe(shown: ShownPipeline): string[] {
  const { name, version, params, schedule, lastRun, lastError, triggers } = shown;
  const given = Object.entries(params).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [
    `${name} version ${version}${given.length === 0 ? '' : `, ${given.join(' ')}`}`,
    ...describeTriggers(triggers).map((line) => `on ${line}`),
    ...describeSchedule(schedule),
    ...(lastRun === null ? [] : [`last run: ${lastRun.id} ${lastRun.status}`]),
    ...(lastError === null ? [] : [`at ${lastError.at}: ${lastError.message}`]),
  ];
}

function describeSchedule(schedule: ShownPipeline['schedule']): string[] {
  if (schedule === null) return [];
  if (!schedule.isKnown) return ['Temporal does not know its schedule: deploy it again'];
  if (schedule.isPaused) return ['its schedule is paused'];
  return schedule.next.map((at) => `next: ${at}`);
}
