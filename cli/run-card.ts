import type { Command } from 'commander';
import type { Card } from '../schemas/cards';
import { contextOf, pathOfRun, wholeNumber } from './context';
import { printLine, printResult } from './output';

/** As the api. */
const ATTEMPT_MAX = 1_000_000;

interface CardOptions {
  readonly attempt?: number;
}

/** Registers `anneal run card`. */
export function registerCard(run: Command): void {
  run
    .command('card <id> <step> [name]')
    .description("list a step's cards, or print one as the step wrote it")
    .option('--attempt <n>', 'of this attempt (default: the newest)', wholeNumber(1, ATTEMPT_MAX))
    .action(card);
}

async function card(
  ...[id, step, name, { attempt }, command]: [
    string,
    string,
    string | undefined,
    CardOptions,
    Command,
  ]
): Promise<void> {
  const { http, format } = contextOf(command);
  const path = `${pathOfRun(id)}/steps/${encodeURIComponent(step)}/cards`;
  const query = attempt === undefined ? '' : `?attempt=${attempt}`;
  if (name !== undefined) {
    const text = await http.getText(`${path}/${encodeURIComponent(name)}${query}`);
    if (format === 'json') printResult('json', { name, text });
    else printLine(text.replace(/\n$/, ''));
    return;
  }
  const { cards } = await http.get<{ cards: Card[] }>(path + query);
  printResult(format, cards, {
    columns: ['card', 'attempt', 'bytes', 'updated'],
    rows: cards.map((one) => [one.name, String(one.attempt), String(one.sizeBytes), one.updatedAt]),
  });
}
