import type { Command } from 'commander';
import { runDev } from '../dev/main';

interface DevFlags {
  readonly port: string;
  readonly data: string;
  readonly ephemeral: boolean;
  readonly readyJson: boolean;
}

/** Registers `anneal dev`: the whole platform on this machine, until Ctrl-C. */
export function registerDev(program: Command): void {
  program
    .command('dev')
    .description('run the whole platform on this machine, until Ctrl-C')
    .option('--port <n>', 'port of the api; the other parts take free ones', '7400')
    .option('--data <dir>', 'where everything is kept', '.anneal')
    .option('--ephemeral', 'keep nothing: a temporary folder, removed at the end', false)
    .option('--ready-json', 'print one line of JSON with every URL and pid when ready', false)
    .action(async (flags: DevFlags) => {
      process.removeAllListeners('SIGINT'); // the supervisor stops its children in order
      await runDev({
        port: Number(flags.port),
        dataDir: flags.data,
        ephemeral: flags.ephemeral,
        readyJson: flags.readyJson,
      });
    });
}
