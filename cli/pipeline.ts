import { Option, type Command } from 'commander';
import { expandGraph } from '../dag/expand';
import { withHandlers } from '../dag/handlers';
import { resolveParams } from '../dag/params';
import { placeSteps, showGraph } from '../dag/placed-graph';
import { planId } from '../dag/plan-id';
import { AppError, isAppError } from '../errors/app-error';
import type { Params } from '../schemas/plan';
import { planToYaml } from '../sdk/plan-yaml';
import { contextOf } from './context';
import { renderGraph } from './graph-text';
import { printLine, printResult } from './output';
import { collect, parseParams } from './params';
import { registerDeploy } from './pipeline-deploy';
import { registerDeployed } from './pipeline-deployed';
import { loadFile, loadWithTriggers } from './project';

const HELP = `
Examples:
  anneal pipeline validate train.yaml sweep.ts
  anneal pipeline plan train.yaml -p 'lrs=[0.1, 0.2]'
  anneal pipeline export train.ts > train.yaml
  anneal pipeline deploy train.yaml -p epochs=20

validate, plan and export need no server; a .ts file is run to see what pipeline it makes.`;

/** Registers `anneal pipeline`: looks at pipeline files, deploys them, and shows what is deployed. */
export function registerPipeline(program: Command): void {
  const pipeline = program
    .command('pipeline')
    .description('check pipeline files, deploy them, and see what is deployed')
    .addHelpText('after', HELP);
  pipeline
    .command('validate <file...>')
    .description('check .yaml and .ts files; all mistakes of all files at once')
    .action(validate);
  pipeline
    .command('plan <file>')
    .description('show the steps that a run would have, in the order of their needs')
    .option('-p, --param <name=value>', 'a parameter; lists and the like as JSON', collect, [])
    .option('--full', 'every item and every step, however many', false)
    .action(plan);
  pipeline
    .command('export <file>')
    .description('print a pipeline as YAML or as its canonical plan')
    .addOption(new Option('--to <form>', 'what to print').choices(['yaml', 'plan']).default('yaml'))
    .action(async (file: string, { to }: { readonly to: 'yaml' | 'plan' }) => {
      const { plan: loaded, triggers } = await loadWithTriggers(file);
      if (to === 'yaml') printLine(planToYaml(loaded, triggers).trimEnd());
      else printResult('json', loaded);
    });
  registerDeploy(pipeline);
  registerDeployed(pipeline);
}

async function validate(files: readonly string[], _: unknown, command: Command): Promise<void> {
  const problems: AppError['problems'][number][] = [];
  const rows: string[][] = [];
  for (const file of files) {
    try {
      const loaded = await loadFile(file);
      rows.push([file, loaded.name, String(loaded.steps.length), planId(loaded)]);
    } catch (error) {
      if (!isAppError(error) || error.problems.length === 0) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) {
    const what = files.length === 1 ? 'The pipeline is' : 'Some pipelines are';
    throw new AppError('INVALID_PLAN', `${what} not valid.`, { problems });
  }
  const valid = rows.map(([file, name, steps, id]) => ({ file, name, steps: Number(steps), id }));
  printResult(contextOf(command).format, valid, {
    columns: ['file', 'pipeline', 'steps', 'plan'],
    rows,
  });
}

interface PlanOptions {
  readonly param: readonly string[];
  readonly full: boolean;
}
async function plan(file: string, options: PlanOptions, command: Command): Promise<void> {
  const loaded = await loadFile(file);
  const params = resolveParams(loaded, parseParams(options.param, loaded.params) as Params);
  const graph = withHandlers(expandGraph(loaded, params), loaded, () => true);
  const placed = placeSteps(graph, []);
  if (contextOf(command).format === 'json') {
    const whole = showGraph(placed, { isFull: true });
    printResult('json', { planId: planId(loaded), params, ...whole });
    return;
  }
  const shown = showGraph(placed, { isFull: options.full });
  for (const line of renderGraph(shown, { isFull: options.full })) printLine(line);
}
