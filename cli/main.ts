#!/usr/bin/env node
import { Command, Option } from 'commander';
import { registerDev } from './dev';
import { registerDoctor } from './doctor';
import { EXIT } from './exit-codes';
import { registerLineage } from './lineage';
import { registerModel } from './model';
import type { OutputFormat } from './output';
import { registerPipeline } from './pipeline';
import { report } from './report';
import { registerRun } from './run';
import { registerSchedule } from './schedule';
import { registerToken } from './token';
import { ANNEAL_VERSION } from './version';

const EXAMPLES = `
Examples:
  anneal dev                                        keep the whole platform up on this machine
  anneal run start examples/01-digits/pipeline.ts -p seed=1 --follow
  anneal pipeline validate train.yaml               every mistake at once, without a server
  anneal model show digits
  anneal doctor                                     what works here, and what to do if it does not

With -o json a result is one JSON document on stdout; what goes on for a while (run logs, --follow)
is one JSON object per line, each with a "type". An error is one problem+json object on stderr.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 permission, 5 the run failed,
6 the run was cancelled, 7 conflict, 8 server unreachable, 130 interrupted`;

/** The command tree; parsing it runs a command. */
export function createProgram(): Command {
  const program = new Command('anneal')
    .description('Durable ML pipelines, experiment tracking and a model registry')
    .version(ANNEAL_VERSION)
    .option('--api <url>', 'address of the api (default: ANNEAL_API or http://127.0.0.1:7400)')
    .option('--token <token>', 'a token (default: ANNEAL_TOKEN)')
    .addOption(
      new Option('-o, --output <format>', 'how to print')
        .choices(['table', 'json'])
        .default('table'),
    )
    .addHelpText('after', EXAMPLES)
    .configureOutput({ outputError: () => undefined }) // report() says it, in the wanted format
    .exitOverride();
  program.hook('preAction', (_, action) => {
    if (action.name() !== 'dev') endWithTheShell(); // the supervisor has children to stop first
  });
  registerDev(program);
  registerDoctor(program);
  registerRun(program);
  registerPipeline(program);
  registerModel(program);
  registerLineage(program);
  registerSchedule(program);
  registerToken(program);
  return program;
}

/** Ctrl-C ends a command, and so does a reader that has seen enough (`| head`), without noise. */
function endWithTheShell(): void {
  process.once('SIGINT', () => process.exit(EXIT.interrupted));
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
    });
  }
}

async function main(): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync();
  } catch (error) {
    const { output = 'table' } = program.opts<{ output?: OutputFormat }>();
    process.exitCode = report(error, output);
  }
}

if (require.main === module) void main();
