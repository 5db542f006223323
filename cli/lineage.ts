import { Option, type Command } from 'commander';
import { requireArgument } from '../errors/app-error';
import { LINEAGE_DEPTH_MAX, LineageDirection, LineageKind, type Lineage } from '../schemas/lineage';
import { contextOf, wholeNumber } from './context';
import { renderLineage } from './lineage-text';
import { printLine, printResult, say } from './output';

const HELP = `
Examples:
  anneal lineage model:digits@champion                  what the champion was made of
  anneal lineage model:digits/3
  anneal lineage step:4c19a38e/prepare --direction down   what a bad table has led to
  anneal lineage artifact:0e60c426848a
  anneal lineage run:4c19a38e                           all steps of a run`;

interface Options {
  readonly direction: LineageDirection;
  readonly depth: number;
}

/** Registers `anneal lineage`. */
export function registerLineage(program: Command): void {
  program
    .command('lineage <thing>')
    .description('show what a thing was made of, and what was made of it')
    .addOption(
      new Option('--direction <way>', 'up: what it was made of; down: what it led to')
        .choices(LineageDirection.options)
        .default('both'),
    )
    .option('--depth <n>', 'so many edges', wholeNumber(1, LINEAGE_DEPTH_MAX), LINEAGE_DEPTH_MAX)
    .addHelpText('after', HELP)
    .action(async (thing: string, { direction, depth }: Options, command: Command) => {
      const { http, format } = contextOf(command);
      const query = new URLSearchParams({ direction, depth: String(depth) });
      const lineage = await http.get<Lineage>(`${pathOf(thing)}?${query.toString()}`);
      if (format === 'json') printResult('json', lineage);
      else for (const line of renderLineage(lineage, direction)) printLine(line);
      if (lineage.isCut && format === 'table') {
        say('There is more: begin nearer to what you look for, or go --depth further.');
      }
    });
}

function pathOf(thing: string): string {
  const [kind = '', ...rest] = thing.split(':');
  const isKnown = LineageKind.options.some((known) => known === kind);
  requireArgument(
    isKnown && rest.join(':') !== '',
    `'${thing}' names nothing with a lineage: write artifact:ID, step:RUN/STEP, model:NAME/VERSION, model:NAME@ALIAS or run:ID.`,
  );
  return `/api/v1/lineage/${kind}/${encodeURIComponent(rest.join(':'))}`;
}
