import { Argument, type Command } from 'commander';
import { createToken } from '../api/auth/tokens';
import type { OutputFormat } from './output';
import { printLine, printResult, say } from './output';

const USES = {
  user: 'Start the api with it as ANNEAL_ADMIN_TOKEN; people and programs send it as ANNEAL_TOKEN.',
  node: 'Start the api and each step worker with it as ANNEAL_NODE_TOKEN.',
};

/** Registers `anneal token user|node`: makes the text for ANNEAL_ADMIN_TOKEN, ANNEAL_NODE_TOKEN. */
export function registerToken(program: Command): void {
  program
    .command('token')
    .description('make a token for ANNEAL_ADMIN_TOKEN (user) or ANNEAL_NODE_TOKEN (node)')
    .addArgument(new Argument('<kind>', 'for whom').choices(['user', 'node']))
    .action((kind: 'user' | 'node', _options: unknown, command: Command) => {
      const { output } = command.optsWithGlobals<{ output: OutputFormat }>();
      const token = createToken(kind).text;
      if (output === 'json') {
        printResult('json', { kind, token });
        return;
      }
      printLine(token);
      say(USES[kind]);
    });
}
