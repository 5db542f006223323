import type { Command } from 'commander';
import { contextOf } from './context';
import { EXIT } from './exit-codes';
import { printResult } from './output';

interface PartStatus {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
}

/** Registers `anneal doctor`: asks each part whether it works, with what to do if not. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check every part of the platform')
    .action(async (_options: unknown, command: Command) => {
      const { http, format } = contextOf(command);
      const { parts } = await http.get<{ parts: PartStatus[] }>('/api/v1/status');
      printResult(format, parts, {
        columns: ['part', 'state', 'message'],
        rows: parts.map((part) => [part.name, part.ok ? 'ok' : 'FAILED', part.message]),
      });
      if (parts.some((part) => !part.ok)) process.exitCode = EXIT.failed;
    });
}
