import { needsOf } from '../dag/validate';
import type { Plan, StepSpec } from '../schemas/plan';
import { withDefaults } from './pipeline-defaults';
import { checkKeys, isRecord } from './pipeline-keys';
import { LEAF_KEYS, readLeaf } from './pipeline-step';
import type { Reading } from './pipeline-steps';
import { isText, StepReader } from './step-reader';

/** The lists of steps that run when all others have ended. */
export const HANDLER_KEYS = ['on_success', 'on_failure', 'always'] as const;
/** A handler runs at the end of every run, so there is nothing to cache and none is due before. */
const KEYS = ['name', ...LEAF_KEYS.filter((key) => key !== 'cache' && key !== 'deadline')];

/** The exit handlers of a pipeline. */
export function readHandlers(
  root: Readonly<Record<string, unknown>>,
  reading: Reading,
): Pick<Plan, 'onSuccess' | 'onFailure' | 'always'> {
  const [onSuccess, onFailure, always] = HANDLER_KEYS.map((key) =>
    readList(root[key], key, reading),
  );
  return {
    ...(onSuccess !== undefined && { onSuccess }),
    ...(onFailure !== undefined && { onFailure }),
    ...(always !== undefined && { always }),
  };
}

/** A list of steps; an empty one is none. */
function readList(value: unknown, key: string, reading: Reading): StepSpec[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) {
    reading.report([key], 'must be a list of steps, each with uses, run or argv.');
    return undefined;
  }
  const steps = value.flatMap((step: unknown, i) => {
    const path = [key, i] as const;
    if (isRecord(step)) return [readHandler(step, path, reading)];
    reading.report(path, 'must be a mapping.');
    return [];
  });
  return steps.length > 0 ? steps : undefined;
}

function readHandler(
  step: Readonly<Record<string, unknown>>,
  path: readonly [key: string, position: number],
  { report, defaults, places }: Reading,
): StepSpec {
  checkKeys(step, { path, known: KEYS, report });
  const reader = new StepReader(withDefaults(defaults, step, KEYS), (key, message) => {
    report([...path, ...key], message);
  });
  const [key, position] = path;
  const whole = { path: [...path, 'run'], isWhole: true };
  if ('run' in step) places.set(`${key}[${position}].argv`, whole);
  const name = reader.pick(['name'], isText, 'must be text.') ?? nameFor(step['uses'], position);
  const spec = readLeaf(name, reader);
  return { ...spec, needs: needsOf(spec) };
}

/** The name of a built-in, or the place in the list. */
function nameFor(uses: unknown, position: number): string {
  const builtin = isText(uses) ? /^builtin\/(.+)$/.exec(uses)?.[1] : undefined;
  return builtin ?? `step-${position + 1}`;
}
