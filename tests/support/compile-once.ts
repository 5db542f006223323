import type { Plan } from '../../schemas/plan';
import { compileWritten } from '../../sdk/pipeline-yaml';

const known = new Map<string, Plan>();

/** The plan of a text; thousands of random runs have the same few. */
export function compileOnce(text: string): Plan {
  const plan = known.get(text) ?? compileWritten(text);
  known.set(text, plan);
  return plan;
}
