import { stringify } from 'yaml';
import type { Plan } from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { planToDocument } from './plan-document';

/** A plan as YAML 1.2 that `compileYaml` reads back to an equal plan, whichever way it was written. */
export function planToYaml(plan: Plan, triggers?: Triggers): string {
  // no anchors (they are refused on reading), no folding (it could change blanks inside texts)
  return stringify(planToDocument(plan, triggers), {
    version: '1.2',
    aliasDuplicateObjects: false,
    lineWidth: 0,
  });
}
