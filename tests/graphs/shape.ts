import type { Plan } from '../../schemas/plan';
import { compileYaml } from '../../sdk/pipeline-yaml';
import type { Behaviour } from '../support/world-options';

export type Shown = 'succeeded' | 'failed' | 'skipped';
/** A plan with what its steps do, and how it ends by the sentences of docs/pipelines.md. */
export interface Shape {
  readonly plan: Plan;
  /** What does not simply succeed, by key. */
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
  readonly status: 'succeeded' | 'failed';
  /** What every step shows at the end, by key. */
  readonly steps: Readonly<Record<string, Shown>>;
}

/** A plan of the lines of a file behind its head. */
export function file(lines: string): Plan {
  return compileYaml(`version: 1\nname: shape\n${lines}`);
}

/** The same end for each key; keys stand with blanks between them. */
export function all(shown: Shown, keys: string): Record<string, Shown> {
  return Object.fromEntries(keys.split(' ').map((key) => [key, shown]));
}

/** A step that leaves a pipeline of these lines behind, as its output `plan`. */
export const writes = (lines: string): Behaviour => ({
  writes: `version: 1\nname: written\n${lines}`,
});
export const value = (of: unknown): Behaviour => ({ outputs: { v: { value: of as never } } });
