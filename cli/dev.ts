import type { Command } from 'commander';
import { runDev } from '../dev/main';
import { wholeNumber } from './context';

interface DevFlags {
  readonly port: number;
  readonly data: string;
  readonly ephemeral: boolean;
  readonly readyJson: boolean;
}

/** Registers `anneal dev`: the whole platform on this machine, until Ctrl-C. */
export function registerDev(program: Command): void {
  program
    .command('dev')
    .description('run the whole platform on this machine, until Ctrl-C')
    .option(
      '--port <n>',
      'port of the api, 0 for a free one; the other parts take free ones',
      wholeNumber(0, 65_535),
      7400,
    )
    .option('--data <dir>', 'where everything is kept', '.anneal')
    .option('--ephemeral', 'keep nothing: a temporary folder, removed at the end', false)
    .option('--ready-json', 'print one line of JSON with every URL and pid when ready', false)
    .action(async ({ port, data, ephemeral, readyJson }: DevFlags) => {
      await runDev({ port, dataDir: data, ephemeral, readyJson });
    });
}
