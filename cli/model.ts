import type { Command } from 'commander';
import type { ModelVersion } from '../schemas/model-versions';
import type { RegisteredModel } from '../schemas/registered-models';
import { contextOf, wholeNumber } from './context';
import { printResult, say } from './output';

interface ModelPage {
  readonly models: readonly RegisteredModel[];
  readonly next?: string;
}
type ModelDetail = RegisteredModel & { readonly versions: readonly ModelVersion[] };

/** What the api gives in one page. */
const MODELS_MAX = 1000;

/** Registers `anneal model ls|show`. */
export function registerModel(program: Command): void {
  const model = program.command('model').description('look at registered models');
  model
    .command('ls')
    .description('list the registered models by name')
    .option('--limit <n>', 'at most this many', wholeNumber(1, MODELS_MAX), 100)
    .option('--after <name>', 'only those behind this name')
    .action(async (options: { limit: number; after?: string }, command: Command) => {
      const { http, format, hint } = contextOf(command);
      const query = new URLSearchParams({ limit: String(options.limit) });
      if (options.after !== undefined) query.set('after', options.after);
      const page = await http.get<ModelPage>(`/api/v1/models?${query.toString()}`);
      printResult(format, page.models, {
        columns: ['name', 'newest', 'aliases', 'updated', 'description'],
        rows: page.models.map((m) => [
          m.name,
          m.newestVersion === null ? '' : String(m.newestVersion),
          m.aliases.map(({ alias, version }) => `${alias}=${version}`).join(','),
          m.updatedAt,
          m.description,
        ]),
      });
      if (page.next !== undefined && format === 'table') {
        say(`There may be more: ${hint(`model ls --after ${page.next}`)}`);
      }
    });
  model
    .command('show <name>')
    .description('show the versions and aliases of a model')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const shown = await http.get<ModelDetail>(`/api/v1/models/${encodeURIComponent(name)}`);
      if (format === 'table') say(`${shown.name} ${shown.description}`.trim());
      printResult(format, shown, {
        columns: ['version', 'aliases', 'created', 'source'],
        rows: shown.versions.map((v) => [
          String(v.version),
          v.aliases.join(','),
          v.createdAt,
          v.source,
        ]),
      });
    });
}
