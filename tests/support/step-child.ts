// Runs one attempt in a process of its own: `step-child.ts <JSON of node and input>`. Prints what came of it.
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { NodeContext, StepOutcome } from '../../steps/attempt';
import { executeStep } from '../../steps/execute-step';

/** What the script prints, as one line of JSON. */
export interface StepChildReport {
  readonly outcomes: readonly StepOutcome[];
  readonly rssMaxMiB: number; // of this process, without the step's
}
export interface StepChild {
  readonly node: NodeContext;
  readonly inputs: readonly ExecuteStepInput[]; // one after the other
}

async function main({ node, inputs }: StepChild): Promise<void> {
  const outcomes: StepOutcome[] = [];
  const signals = { heartbeat: () => undefined, stop: new Promise<never>(() => undefined) };
  for (const input of inputs) outcomes.push(await executeStep(node, input, signals));
  const report = { outcomes, rssMaxMiB: process.resourceUsage().maxRSS / 1024 };
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}

void main(JSON.parse(process.argv[2] ?? '') as StepChild);
