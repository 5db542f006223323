import type { Command } from 'commander';
import type { RunGraph } from '../schemas/run-graph';
import { contextOf, pathOfRun } from './context';
import { renderGraph } from './graph-text';
import { printLine, printResult } from './output';

const HELP = `
Marks: ✓ succeeded, ✗ failed, ● running, ↻ retrying, · waiting, - skipped, ⊘ cancelled.
'← a, b' names what a step needs.`;

/** Registers `anneal run graph`. */
export function registerGraph(run: Command): void {
  run
    .command('graph <id>')
    .description('show the steps in the order of their needs; a foreach is one line')
    .option('--full', 'every item and every step, however many', false)
    .addHelpText('after', HELP)
    .action(async (id: string, { full }: { full: boolean }, command: Command) => {
      const { http, format } = contextOf(command);
      const graph = await http.get<RunGraph>(`${pathOfRun(id)}/graph${full ? '?full=true' : ''}`);
      if (format === 'json') printResult('json', graph);
      else for (const line of renderGraph(graph, { isFull: full })) printLine(line);
    });
}
