import type { ResumedStep } from '../schemas/pipeline-runs';
import type { CliContext } from './context';
import { printResult } from './output';

/** Asks what would become of each step of a run that is not started, and prints it. */
export async function printForecast(
  { http, format }: CliContext,
  path: string,
  body: object,
): Promise<void> {
  const given = { ...body, dryRun: true };
  const { steps } = await http.post<{ readonly steps: readonly ResumedStep[] }>(path, given);
  const rows = steps.map(({ key, outcome, reason }) => [key, outcome, reason]);
  printResult(format, steps, { columns: ['step', 'outcome', 'reason'], rows });
}
