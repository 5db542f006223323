import { given } from '../dag/given';
import { isComposite, isDynamic } from '../dag/names';
import type {
  CacheSpec,
  DynamicSpec,
  OutputSpec,
  ParamSpec,
  Plan,
  PlanStep,
  RetrySpec,
  StepSpec,
} from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { typeOf } from './pipeline-params';
import { triggersToDocument } from './pipeline-triggers';

/**
 * A plan, and what starts runs of it, as the pipeline language writes them: `compileDocument` reads the
 * same back.
 */
export function planToDocument(
  plan: Plan,
  triggers: Triggers = {},
): Readonly<Record<string, unknown>> {
  const handlers = (steps: readonly StepSpec[] | undefined): unknown =>
    steps?.map((step) => ({ name: step.name, ...stepToDocument(step) }));
  return given({
    version: plan.version,
    name: plan.name,
    on: triggersToDocument(triggers),
    params:
      Object.keys(plan.params).length > 0 ? mapValues(plan.params, paramToDocument) : undefined,
    steps: stepsToDocument(plan.steps),
    outputs: plan.outputs,
    on_success: handlers(plan.onSuccess),
    on_failure: handlers(plan.onFailure),
    always: handlers(plan.always),
  });
}

function stepsToDocument(steps: readonly PlanStep[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(steps.map((step) => [step.name, stepToDocument(step)]));
}

function paramToDocument(spec: ParamSpec): unknown {
  const { type, default: value, ...range } = spec;
  const isShort = Object.keys(range).length === 0 && typeOf(value) === type;
  return isShort ? value : spec;
}

/** Keys of a step that the language does not have, or writes in another way. */
const REWRITTEN = [
  'name', 'needs', 'timeoutSeconds', 'totalTimeoutSeconds', 'itemsMax', 'minSuccess', 'stopAfter',
  'retry', 'heartbeat', 'cache', 'checkpoint', 'outputs', 'steps', 'deadlineSeconds',
  'mlflow',
]; // prettier-ignore

function stepToDocument(step: PlanStep): Readonly<Record<string, unknown>> {
  if (isDynamic(step)) return dynamicToDocument(step);
  return {
    ...Object.fromEntries(Object.entries(step).filter(([key]) => !REWRITTEN.includes(key))),
    ...given({
      items_max: step.itemsMax,
      min_success: step.minSuccess,
      stop_after: step.stopAfter,
    }),
    ...(isComposite(step)
      ? given({ outputs: step.outputs, steps: stepsToDocument(step.steps) })
      : leafToDocument(step)),
  };
}

function dynamicToDocument(step: DynamicSpec): Readonly<Record<string, unknown>> {
  const { pipeline, outputs, after } = step;
  const isPlain = Object.values(outputs ?? {}).every((kind) => kind === 'any');
  return given({
    pipeline,
    with: step.with,
    outputs: outputs && isPlain ? Object.keys(outputs) : outputs,
    if: step.if,
    after,
  });
}

function leafToDocument(step: StepSpec): Readonly<Record<string, unknown>> {
  const { heartbeat, cache, checkpoint, outputs } = step;
  return given({
    outputs: outputs && mapValues(outputs, outputToDocument),
    timeout: duration(step.timeoutSeconds),
    total_timeout: duration(step.totalTimeoutSeconds),
    deadline: duration(step.deadlineSeconds),
    retry: retryToDocument(step.retry),
    heartbeat: heartbeat && { timeout: duration(heartbeat.timeoutSeconds), from: heartbeat.from },
    cache: cache && cacheToDocument(cache),
    mlflow: step.mlflow && { inject_run_id: true },
    checkpoint: checkpoint && {
      keep: checkpoint.keep,
      grace: duration(checkpoint.graceSeconds),
    },
  });
}

function duration(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : `${seconds}s`;
}

function retryToDocument({ max, on, ...delays }: RetrySpec): unknown {
  return {
    max,
    on,
    ...given({
      delay: duration(delays.delaySeconds),
      backoff: delays.factor,
      max_delay: duration(delays.maxDelaySeconds),
    }),
  };
}

function cacheToDocument({ ttlSeconds, files = [], values = [] }: CacheSpec): unknown {
  const key = [...files, ...values];
  const mapping = given({
    ttl: duration(ttlSeconds),
    key: key.length > 0 ? key : undefined,
  });
  return Object.keys(mapping).length > 0 ? mapping : true;
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
