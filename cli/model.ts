import type { Command } from 'commander';
import { contextOf } from './context';
import { printResult, say } from './output';

interface ModelSummary {
  readonly name: string;
  readonly description: string;
  readonly updatedAt: string;
}
interface ModelDetail extends ModelSummary {
  readonly versions: readonly {
    readonly version: number;
    readonly source: string;
    readonly createdAt: string;
  }[];
  readonly aliases: readonly { readonly alias: string; readonly version: number }[];
}

/** Registers `anneal model ls|show`. */
export function registerModel(program: Command): void {
  const model = program.command('model').description('look at registered models');
  model
    .command('ls')
    .description('list the registered models')
    .action(async (_options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const { models } = await http.get<{ models: ModelSummary[] }>('/api/v1/models');
      printResult(format, models, {
        columns: ['name', 'updated', 'description'],
        rows: models.map((m) => [m.name, m.updatedAt, m.description]),
      });
    });
  model
    .command('show <name>')
    .description('show the versions and aliases of a model')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const shown = await http.get<ModelDetail>(`/api/v1/models/${encodeURIComponent(name)}`);
      const aliasesOf = (version: number): string =>
        shown.aliases
          .filter((a) => a.version === version)
          .map((a) => a.alias)
          .join(',');
      if (format === 'table') say(`${shown.name} ${shown.description}`.trim());
      printResult(format, shown, {
        columns: ['version', 'aliases', 'created', 'source'],
        rows: shown.versions.map((v) => [
          String(v.version),
          aliasesOf(v.version),
          v.createdAt,
          v.source,
        ]),
      });
    });
}
