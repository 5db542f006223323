#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander';
import { isAppError } from '../errors/app-error';
import { registerDev } from './dev';
import { registerDoctor } from './doctor';
import { EXIT, exitCodeOf } from './exit-codes';
import { registerModel } from './model';
import { say } from './output';
import { registerRun } from './run';
import { registerToken } from './token';

const EXAMPLES = `
Examples:
  anneal dev                                        keep the whole platform up on this machine
  anneal run start examples/01-digits/pipeline.ts --follow
  anneal model show digits

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 permission, 5 the run failed,
6 the run was cancelled, 7 conflict, 8 server unreachable, 130 interrupted`;

/** The command tree; parsing it runs a command. */
export function createProgram(): Command {
  const program = new Command('anneal')
    .description('Durable ML pipelines, experiment tracking and a model registry')
    .version('0.1.0')
    .option('--api <url>', 'address of the api (default: ANNEAL_API or http://127.0.0.1:7400)')
    .option('--token <token>', 'a token (default: ANNEAL_TOKEN)')
    .addOption(
      new Option('-o, --output <format>', 'how to print')
        .choices(['table', 'json'])
        .default('table'),
    )
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('Run with --help to see what is possible.')
    .exitOverride();
  registerDev(program);
  registerDoctor(program);
  registerRun(program);
  registerModel(program);
  registerToken(program);
  return program;
}

async function main(): Promise<void> {
  process.once('SIGINT', () => process.exit(EXIT.interrupted));
  const program = createProgram();
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = report(error, program.opts<{ output?: string }>().output === 'json');
  }
}

/** Says what went wrong, why and what to do; returns the exit code. */
function report(error: unknown, asJson: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (!isAppError(error)) {
    say(`error: ${error instanceof Error ? error.message : String(error)}`);
    return EXIT.failed;
  }
  const { title, advice, status } = error.row;
  if (asJson) {
    const { code, message: detail, problems: errors } = error;
    say(
      JSON.stringify({
        type: `urn:anneal:error:${code}`,
        title,
        status,
        detail,
        advice,
        code,
        errors,
      }),
    );
  } else {
    say(`error: ${error.message}`);
    for (const problem of error.problems) {
      const place =
        problem.line === undefined
          ? problem.path
          : `${problem.line}:${problem.column ?? 1} ${problem.path}`;
      say(`  ${place}: ${problem.message}`);
    }
    say(`  ${advice} (${error.code})`);
  }
  return exitCodeOf(error.code);
}

if (require.main === module) void main();
