import type { Command } from 'commander';
import { resolve } from 'node:path';
import { checkApi } from './checks-of-api';
import { checkMachine } from './checks-of-machine';
import type { Check } from './checks';
import { contextOf } from './context';
import { EXIT } from './exit-codes';
import { printLine, printResult, renderTable, say } from './output';

/** Registers `anneal doctor`: checks this machine and, if it answers, the api with its parts. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check this machine and every part of the platform; says what to do')
    .option('--data <dir>', "the data folder of 'anneal dev'", '.anneal')
    .action(async ({ data }: { data: string }, command: Command) => {
      const { api, isApiGiven, token, format } = contextOf(command);
      const [ofMachine, ofApi] = await Promise.all([
        checkMachine(resolve(data)),
        checkApi({ api, isApiGiven, token }),
      ]);
      const checks: readonly Check[] = [...ofMachine, ...ofApi];
      const failed = checks.filter(({ state }) => state === 'fail').length;
      if (failed > 0) process.exitCode = EXIT.failed;
      if (format === 'json') {
        printResult('json', { ok: failed === 0, checks });
        return;
      }
      // what to do is never cut, so it has a line of its own
      const rows = checks.flatMap(({ name, state, message, advice }) => [
        [state, name, message],
        ...(advice === '' ? [] : [['', '', `→ ${advice}`]]),
      ]);
      for (const line of renderTable({ columns: ['state', 'check', 'found'], rows })) {
        printLine(line);
      }
      if (failed > 0) say(`${failed} of ${checks.length} checks failed.`);
    });
}
