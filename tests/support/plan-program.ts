import { ArtifactReference, artifact, metric, Reference, step as functionStep } from 'anneal';
import { z } from 'zod';
import { parseExpression } from '../../dag/expressions';
import { given } from '../../dag/given';
import { isComposite, isDynamic } from '../../dag/names';
import type {
  CacheSpec,
  DynamicSpec,
  OutputSpec,
  Plan,
  PlanStep,
  StepSpec,
} from '../../schemas/plan';
import { PipelineBuilder } from '../../sdk/pipeline-builder';
import { compileDocument } from '../../sdk/pipeline-document';
import type { StepOptions } from '../../sdk/pipeline-types';
import { planToDocument } from '../../sdk/plan-document';
import type { OutputReferences } from '../../sdk/references';

/** Makes a plan once more with the TypeScript builder, call by call, and compiles what that gives. */
export function compileByBuilder(plan: Plan): Plan {
  const builder = new PipelineBuilder(() => './steps.ts#work');
  makeSteps(builder, plan.steps);
  for (const key of ['onSuccess', 'onFailure', 'always'] as const) {
    const steps = plan[key];
    if (steps === undefined) continue;
    builder[key](() => {
      makeSteps(builder, steps);
    });
  }
  const { version, name, params, outputs } = planToDocument(plan);
  const top = outputs === undefined ? {} : { outputs };
  return compileDocument({ version, name, params, ...builder.document, ...top }).plan;
}

const refer = (text: string): Reference<never> => new Reference(parseExpression(text));
function mapValues<T, R>(record: Readonly<Record<string, T>>, map: (value: T) => R) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function makeSteps(s: PipelineBuilder, steps: readonly PlanStep[]): void {
  for (const step of steps) {
    if (step.if === undefined) makeStep(s, step);
    else {
      s.when(refer(step.if), () => {
        makeStep(s, step);
      });
    }
  }
}

function makeStep(s: PipelineBuilder, step: PlanStep): void {
  if (isDynamic(step)) {
    makeDynamic(s, step);
    return;
  }
  const { name, after, parallel, itemsMax, minSuccess, stopAfter } = step;
  const inside = (): OutputReferences | undefined => {
    if (!isComposite(step)) {
      makeLeaf(s, step);
      return undefined;
    }
    makeSteps(s, step.steps);
    return mapValues(step.outputs ?? {}, refer);
  };
  const order = after && { after };
  if (step.foreach !== undefined) {
    const rules = { parallel, itemsMax, minSuccess, stopAfter, ...order };
    s.forEach(name, mapValues(step.foreach, refer), inside, rules as object);
  } else if (isComposite(step)) s.group(name, inside, order);
  else makeLeaf(s, step);
}

function makeDynamic(s: PipelineBuilder, step: DynamicSpec): void {
  const { outputs = {}, with: values = {}, after } = step;
  const names = Object.keys(outputs);
  const isPlain = names.length > 0 && Object.values(outputs).every((kind) => kind === 'any');
  const declared = Object.entries(outputs).map(([output, kind]) => [
    output,
    kind === 'any' || kind === 'value' ? z.any() : artifact(kind),
  ]);
  s.dynamic(step.name, new ArtifactReference('pipeline', step.pipeline), {
    with: values,
    ...(after && { after }),
    outputs: isPlain ? names : (Object.fromEntries(declared) as Record<string, z.ZodType>),
  });
}

function makeLeaf(s: PipelineBuilder, step: StepSpec): void {
  const { name, argv, uses, inputs = {}, outputs = {} } = step;
  const options = optionsOf(step);
  const declared = mapValues(outputs, declare);
  if (argv !== undefined) {
    s.command(name, { argv, inputs: mapValues(inputs, refer), outputs: declared, ...options });
  } else if (uses === 'builtin/notify') s.notify(name, step.with, options);
  else {
    const shape = mapValues(step.with ?? {}, () => z.any());
    const out = declared as Record<string, z.ZodType>;
    const work = functionStep({
      in: z.object(shape),
      out: z.object(out),
      run: () => ({}),
    });
    s.run(name, work, step.with as never, options);
  }
}

function declare(output: OutputSpec): z.ZodType | ReturnType<typeof metric> {
  if ('metric' in output) return metric(output.metric, { pick: output.pick });
  if ('value' in output) return z.any();
  return artifact(output.kind, output.path === undefined ? {} : { path: output.path });
}

function duration(seconds: number): string;
function duration(seconds: number | undefined): string | undefined;
function duration(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : `${seconds}s`;
}

function optionsOf(step: StepSpec): StepOptions {
  const { pool, priority, env, secrets, heartbeat, cache, checkpoint, after, adopt, mlflow } = step;
  const { max, on, delaySeconds, factor, maxDelaySeconds } = step.retry;
  const delays = {
    delay: duration(delaySeconds),
    backoff: factor,
    maxDelay: duration(maxDelaySeconds),
  };
  return given({
    pool,
    priority,
    env,
    secrets,
    adopt,
    mlflow,
    timeout: duration(step.timeoutSeconds),
    totalTimeout: duration(step.totalTimeoutSeconds),
    deadline: duration(step.deadlineSeconds),
    retry: { max, on, ...given(delays) },
    heartbeat: heartbeat && { timeout: duration(heartbeat.timeoutSeconds), from: heartbeat.from },
    cache: cache && cacheOf(cache),
    checkpoint: checkpoint && { keep: checkpoint.keep, grace: duration(checkpoint.graceSeconds) },
    after: step.foreach === undefined ? after : undefined,
  });
}

function cacheOf({ ttlSeconds, files = [], values = [] }: CacheSpec): StepOptions['cache'] {
  const key = [...files, ...values.map(refer)];
  return given({ ttl: duration(ttlSeconds), key: key.length > 0 ? key : undefined });
}
