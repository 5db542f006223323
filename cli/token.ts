import { Argument, type Command } from 'commander';
import { createToken } from '../api/auth/tokens';
import { printLine } from './output';

/** Registers `anneal token user|node`: makes the text for ANNEAL_ADMIN_TOKEN, ANNEAL_NODE_TOKEN. */
export function registerToken(program: Command): void {
  program
    .command('token')
    .description('make a token for ANNEAL_ADMIN_TOKEN (user) or ANNEAL_NODE_TOKEN (node)')
    .addArgument(new Argument('<kind>', 'for whom').choices(['user', 'node']))
    .action((kind: 'user' | 'node') => {
      printLine(createToken(kind).text);
    });
}
