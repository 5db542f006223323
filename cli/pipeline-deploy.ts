import type { Command } from 'commander';
import { checkDeployedParams } from '../dag/deployed-params';
import type { DeployAnswer, HookToken } from '../schemas/deployments';
import type { Params } from '../schemas/plan';
import { contextOf, pathOfPipeline, type CliContext } from './context';
import { printLine, printResult, say } from './output';
import { collect, parseParams } from './params';
import { loadWithTriggers } from './project';
import { sendPlan } from './run-start';

interface DeployOptions {
  readonly param: readonly string[];
  readonly name?: string;
  readonly code?: string;
  readonly dryRun: boolean;
}

const HELP = `
Examples:
  anneal pipeline deploy train.yaml
  anneal pipeline deploy train.ts -p epochs=20 --name train-long --dry-run

What starts its runs stands in the file under 'on'. The same again changes nothing.`;

/** Registers `anneal pipeline deploy`. */
export function registerDeploy(pipeline: Command): void {
  pipeline
    .command('deploy <file>')
    .description("store a .yaml or .ts file as the newest version, and start runs as its 'on' says")
    .option('-p, --param <name=value>', 'a parameter; lists and the like as JSON', collect, [])
    .option('--name <name>', "the deployed pipeline's name (default: the pipeline's)")
    .option(
      '--code <dir>',
      "the project's folder, sent to the workers (default: the file's folder)",
    )
    .option('--dry-run', 'only say what would change', false)
    .addHelpText('after', HELP)
    .action(deploy);
}

async function deploy(file: string, options: DeployOptions, command: Command): Promise<void> {
  const context = contextOf(command);
  const { plan, triggers } = await loadWithTriggers(file);
  const params = parseParams(options.param, plan.params) as Params;
  checkDeployedParams(plan, params, triggers);
  const { code, dryRun, name = plan.name } = options;
  const sent = { plan, params, dryRun, ...(code === undefined ? {} : { code }) };
  const template = await sendPlan(context, file, sent);
  const body = { ...template, triggers, dryRun };
  const answer = await context.http.put<DeployAnswer>(pathOfPipeline(name), body);
  if (context.format === 'json') {
    printResult('json', answer);
    return;
  }
  const { changes, deployment, hook } = answer;
  if (changes.length === 0) say(`Nothing has changed since version ${deployment.version}.`);
  for (const line of changes) say(line);
  if (dryRun) return;
  printLine(`${name} version ${deployment.version}`);
  if (hook !== null) sayHook(context, hook);
  say(`See: ${context.hint(`pipeline show ${name}`)}`);
}

/** The token is told once, so it is said where to put it. */
export function sayHook({ api }: Pick<CliContext, 'api'>, { token, path }: HookToken): void {
  say(`Its webhook: POST ${new URL(path, api).href}`);
  say(`with the header  Authorization: Bearer ${token}`);
  say('This token is not shown again.');
}
