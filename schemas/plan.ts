import { z } from 'zod';

/** Limits of a plan; each with its reason. */
export const PLAN_LIMITS = {
  stepsMax: 10_000, // their rows and the graph are written at the start of a run, in seconds
  foreachItemsMax: 1024, // unless the step says more: a slip of the pen is not ten thousand runs
  foreachItemsTop: 10_000, // the most that a step may ask for
  planBytesMax: 2 * 1024 * 1024,
  paramsBytesMax: 64 * 1024,
  nameCharsMax: 100,
  depthMax: 8, // sub-pipelines inside sub-pipelines
  fragmentStepsMax: 1_000, // what a step has written is added to a run in one go
} as const;

export const FailureClass = z.enum([
  'crash',
  'oom',
  'timeout',
  'heartbeat',
  'preempted',
  'node-lost',
  'data',
  'quota',
]);
export type FailureClass = z.infer<typeof FailureClass>;

export const ParamSpec = z.strictObject({
  type: z.enum(['string', 'number', 'boolean', 'list']),
  default: z.json().optional(),
  min: z.number().optional(),
  max: z.number().optional(),
});
export type ParamSpec = z.infer<typeof ParamSpec>;

/** What a file or folder that a step leaves behind stands for. */
export const ArtifactKind = z.enum(['model', 'dataset', 'file', 'pipeline']);
export type ArtifactKind = z.infer<typeof ArtifactKind>;

/** A declared output: a file or folder (kind), a metric of the step's tracked run, or a JSON value. */
export const OutputSpec = z.union([
  z.strictObject({ kind: ArtifactKind, path: z.string().optional() }),
  z.strictObject({ metric: z.string(), pick: z.enum(['last', 'min', 'max']) }),
  z.strictObject({ value: z.literal(true) }),
]);
export type OutputSpec = z.infer<typeof OutputSpec>;

/** What a step can show that it is alive by. */
export const HeartbeatSource = z.enum(['logs', 'metrics', 'status']);
export type HeartbeatSource = z.infer<typeof HeartbeatSource>;

/** How often and how soon a failed step is tried again; what is left out stands in dag/retry-delays. */
export const RetrySpec = z.strictObject({
  max: z.number().int(),
  on: z.array(FailureClass),
  delaySeconds: z.number().optional(), // before the first retry
  factor: z.number().optional(), // each further delay is so many times longer
  maxDelaySeconds: z.number().optional(),
});
export type RetrySpec = z.infer<typeof RetrySpec>;

/**
 * `new`: each attempt makes runs of its own, and the first one of the newest is the step's. `off`: none of
 * them is the step's.
 */
export const Adopt = z.enum(['new', 'off']);
export type Adopt = z.infer<typeof Adopt>;

/** What a step's result depends on besides its code, command, inputs and environment. */
export const CacheSpec = z.strictObject({
  ttlSeconds: z.number().optional(), // for ever, if left out
  files: z.array(z.string()).optional(), // globs over the project's files
  values: z.array(z.string()).optional(), // expressions
});
export type CacheSpec = z.infer<typeof CacheSpec>;

/** How a step is repeated: once per item of a list, or per combination of several. */
const Foreach = {
  foreach: z.record(z.string(), z.string()).optional(), // variable → expression that gives a list
  parallel: z.number().int().optional(),
  itemsMax: z.number().int().optional(), // 1,024 if left out
  minSuccess: z.number().optional(), // the share of items, 0 to 1, that must succeed; 1 if left out
  stopAfter: z.number().int().optional(), // no new item after so many failures alike
};
/** Where a step stands in the order. */
const Order = {
  name: z.string(),
  if: z.string().optional(),
  after: z.array(z.string()).optional(),
  needs: z.array(z.string()), // all step names this one depends on, sorted; derived
};

/** One step of the canonical plan. Expressions are source text of dag/expressions. */
export const StepSpec = z.strictObject({
  ...Order,
  ...Foreach,
  /** What runs: a command, a function `file#export`, or a built-in. Exactly one. */
  argv: z.array(z.string()).optional(), // each may hold ${{ expr }}
  uses: z.string().optional(), // './steps/prepare.ts#prepare' or 'builtin/best'
  with: z.record(z.string(), z.json()).optional(), // strings may hold ${{ expr }}
  inputs: z.record(z.string(), z.string()).optional(), // name → expression
  outputs: z.record(z.string(), OutputSpec).optional(),
  pool: z.string(),
  timeoutSeconds: z.number(), // of one attempt
  totalTimeoutSeconds: z.number().optional(), // of all attempts with their delays; none if left out
  retry: RetrySpec,
  deadlineSeconds: z.number().optional(), // from the start of the run; only an order, ends nothing
  priority: z.number().int().optional(), // −100 to 100; higher starts first; 0 if left out
  env: z.record(z.string(), z.string()).optional(),
  secrets: z.array(z.string()).optional(), // names: each becomes a variable of the environment
  checkpoint: z.strictObject({ keep: z.number().int(), graceSeconds: z.number() }).optional(),
  heartbeat: z
    .strictObject({ timeoutSeconds: z.number(), from: z.array(HeartbeatSource) })
    .optional(), // silent for longer: the attempt has failed
  cache: CacheSpec.optional(), // the step is not cached if left out
  /** Whether an attempt goes on with the tracked runs of the one before; `auto` if left out: it does. */
  adopt: Adopt.optional(),
  mlflow: z.strictObject({ injectRunId: z.literal(true) }).optional(),
});
export type StepSpec = z.infer<typeof StepSpec>;

const Composite = z.strictObject({
  ...Order,
  ...Foreach,
  outputs: z.record(z.string(), z.string()).optional(), // name → expression over its steps
});
/** A sub-pipeline: steps that begin, are repeated and are skipped together. */
export type CompositeSpec = z.infer<typeof Composite> & { steps: PlanStep[] };

const Dynamic = z.strictObject({
  ...Order,
  pipeline: z.string(), // expression: an output of kind pipeline
  with: z.record(z.string(), z.json()).optional(), // its params; strings may hold ${{ expr }}
  outputs: z.record(z.string(), z.enum(['any', 'value', ...ArtifactKind.options])).optional(),
});
/** A step that becomes the sub-pipeline that an earlier step has written. */
export type DynamicSpec = z.infer<typeof Dynamic> & {
  readonly [K in keyof typeof Foreach]?: undefined;
} & {
  /** What it has become: only in the plan of a run, never in one that is stored. */
  readonly fragment?: CompositeSpec;
};
export type PlanStep = StepSpec | CompositeSpec | DynamicSpec;
export const PlanStep = planStep(0);

/**
 * The schema of a step that stands in so many sub-pipelines. By hand instead of a union, which would
 * tell of a mistake only that nothing fits, and not recursive: a hostile plan ends at the last level.
 */
function planStep(depth: number): z.ZodType<PlanStep> {
  const inner =
    depth < PLAN_LIMITS.depthMax
      ? Composite.extend({ steps: z.array(planStep(depth + 1)) })
      : z.never('stands inside too many sub-pipelines.');
  return z.unknown().transform((given, context): PlanStep => {
    const keys = given !== null && typeof given === 'object' ? given : {};
    const leaf = 'pipeline' in keys ? Dynamic : StepSpec;
    const parsed = ('steps' in keys ? inner : leaf).safeParse(given);
    if (parsed.success) return parsed.data;
    for (const { path, message } of parsed.error.issues) {
      context.issues.push({ code: 'custom', path, message, input: given });
    }
    return z.NEVER;
  });
}

/** The canonical plan: what both front ends compile to. Its id is the SHA-256 of its canonical JSON. */
export const Plan = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  params: z.record(z.string(), ParamSpec),
  steps: z.array(PlanStep),
  /** Name → expression over the steps: what it gives a step that runs it as its sub-pipeline. */
  outputs: z.record(z.string(), z.string()).optional(),
  /** Exit handlers: run one after the other when all steps have ended. */
  onSuccess: z.array(StepSpec).optional(),
  onFailure: z.array(StepSpec).optional(),
  always: z.array(StepSpec).optional(), // after the other handlers, however the run has ended
});
export type Plan = z.infer<typeof Plan>;

/** Values of parameters, as given for one run. */
export const Params = z.record(z.string(), z.json());
export type Params = z.infer<typeof Params>;

/** What a step leaves behind under one output name. */
export const OutputValue = z.union([
  z.strictObject({ artifact: z.string(), kind: z.string() }), // artifact id
  z.strictObject({ value: z.json() }), // JSON of at most 64 KiB
]);
export type OutputValue = z.infer<typeof OutputValue>;
export const Outputs = z.record(z.string(), OutputValue);
export type Outputs = z.infer<typeof Outputs>;
