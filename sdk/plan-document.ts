import type { OutputSpec, ParamSpec, Plan, StepSpec } from '../schemas/plan';
import { typeOf } from './pipeline-params';

/** A plan as the pipeline language writes it: what `compileDocument` reads back to the same plan. */
export function planToDocument(plan: Plan): Readonly<Record<string, unknown>> {
  return {
    version: plan.version,
    name: plan.name,
    ...(Object.keys(plan.params).length > 0 && { params: mapValues(plan.params, paramToDocument) }),
    steps: Object.fromEntries(plan.steps.map((step) => [step.name, stepToDocument(step)])),
  };
}

function paramToDocument(spec: ParamSpec): unknown {
  const { type, default: value, ...range } = spec;
  const isShort = Object.keys(range).length === 0 && typeOf(value) === type;
  return isShort ? value : spec;
}

function stepToDocument(step: StepSpec): Readonly<Record<string, unknown>> {
  const { timeoutSeconds, checkpoint, outputs } = step;
  const own = ['name', 'needs', 'timeoutSeconds', 'checkpoint', 'outputs'];
  const same = Object.entries(step).filter(([key]) => !own.includes(key));
  return {
    ...Object.fromEntries(same),
    ...(outputs && { outputs: mapValues(outputs, outputToDocument) }),
    timeout: `${timeoutSeconds}s`,
    ...(checkpoint && {
      checkpoint: { keep: checkpoint.keep, grace: `${checkpoint.graceSeconds}s` },
    }),
  };
}

function outputToDocument(output: OutputSpec): unknown {
  if ('metric' in output) return output;
  if ('value' in output) return 'value';
  return output.path === undefined ? output.kind : { type: output.kind, path: output.path };
}

function mapValues<T, R>(
  record: Readonly<Record<string, T>>,
  map: (value: T) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
