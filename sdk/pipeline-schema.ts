import { z } from 'zod';
import {
  Adopt,
  ArtifactKind,
  FailureClass,
  HeartbeatSource,
  PLAN_LIMITS,
  ParamSpec,
} from '../schemas/plan';
import { OverlapPolicy } from '../schemas/schedules';
import { LISTENS_MAX } from '../schemas/triggers';

/**
 * The shape of a pipeline file for editors: names, types and choices. What only the compiler can tell
 * (references, kinds, circles) is not in it; everything that the compiler takes fits it.
 */
const Duration = z
  .string()
  .regex(/^\d+(\.\d+)?(s|m|h|d)$/)
  .describe('A duration: 90s, 10m, 6h, 7d.');
const Expression = z
  .string()
  .describe('An expression: params.lr, item.seed, steps.NAME.outputs.X.');
const Texts = z.record(z.string(), z.union([z.string(), z.number()]));
const Pool = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/);
const Retry = z.strictObject({
  max: z.number().int().min(0).max(100).optional(),
  on: z.array(FailureClass).optional(),
  delay: Duration.optional().describe('Before the first retry; 1s unless told.'),
  backoff: z.number().min(1).max(10).optional().describe('How much longer each further delay is.'),
  max_delay: Duration.optional(),
});
const Heartbeat = z
  .strictObject({ timeout: Duration.optional(), from: z.array(HeartbeatSource).min(1).optional() })
  .describe('An attempt that is silent for longer has failed.');
const Cache = z
  .union([
    z.boolean(),
    z.strictObject({
      ttl: Duration.optional(),
      key: z.array(z.string()).optional().describe('Globs over files, and expressions.'),
    }),
  ])
  .describe('Whether the outputs of an earlier run may be reused; not, unless told.');
const Kind = z.enum([...ArtifactKind.options, 'value']);
const Output = z.union([
  Kind,
  z.strictObject({ type: Kind, path: z.string().optional() }),
  z.strictObject({ metric: z.string(), pick: z.enum(['last', 'min', 'max']).optional() }),
]);
/** Of a pipeline that a step writes: what each is, or only the names. */
const WrittenOutput = z.enum(['any']);
const OutputNames = z.array(z.string());
/** Of a sub-pipeline: an expression, which is never a single word as the kinds are. */
const InnerOutput = z.string().regex(/^(?!\s*[a-z]+\s*$)/);
const Param = z.union([z.string(), z.number(), z.boolean(), z.array(z.json()), ParamSpec]);

const Items = z.number().int().min(1).max(PLAN_LIMITS.foreachItemsTop);
const Foreach = {
  parallel: Items.optional().describe('At most so many items at once.'),
  items_max: Items.optional().describe('At most so many items; 1024 unless told.'),
  min_success: z.number().min(0).max(1).optional().describe('The share that must succeed.'),
  stop_after: Items.optional().describe('No new item starts after so many failures alike.'),
};

const Common = {
  pool: Pool.optional().describe('Which workers take the step; cpu unless told.'),
  timeout: Duration.optional().describe('Of one attempt; 24h unless told.'),
  total_timeout: Duration.optional().describe('Of all attempts with their delays.'),
  retry: Retry.optional(),
  priority: z.number().int().min(-100).max(100).optional().describe('Higher starts first.'),
  env: Texts.optional().describe('Environment variables; may hold ${{ … }}.'),
  secrets: z
    .array(z.string().regex(/^[A-Za-z_]\w*$/))
    .max(100)
    .optional(),
  heartbeat: Heartbeat.optional(),
  cache: Cache.optional(),
};

const Leaf = {
  run: z.string().optional().describe('A command line; values of ${{ … }} stay one argument.'),
  argv: z.array(z.string()).optional().describe('A program and its arguments; no shell.'),
  uses: z
    .string()
    .optional()
    .describe('./file.ts#export, ./pipeline.yaml, or builtin/best, notify, register-model.'),
  with: z.record(z.string(), z.json()).optional(),
  inputs: z.record(z.string(), z.union([Expression, z.number()])).optional(),
  outputs: z.record(z.string(), z.union([Output, InnerOutput])).optional(),
  if: Expression.optional(),
  resources: z.strictObject({ pool: Pool.optional() }).optional(),
  deadline: Duration.optional().describe('From the start of the run: sooner starts first.'),
  adopt: z
    .enum(['auto', ...Adopt.options])
    .optional()
    .describe('Whether an attempt goes on with the tracked runs of the one before.'),
  mlflow: z
    .strictObject({ inject_run_id: z.boolean().optional() })
    .optional()
    .describe('inject_run_id: the run is there before the process, as MLFLOW_RUN_ID.'),
  checkpoint: z
    .strictObject({ keep: z.number().int().min(1).max(100).optional(), grace: Duration.optional() })
    .optional(),
  ...Common,
};
const StepName = z.string().regex(/^[a-z][a-z0-9_-]*$/);

const Step = z
  .strictObject({
    ...Leaf,
    foreach: z
      .record(z.string(), Expression)
      .optional()
      .describe('Variables: lists to repeat over.'),
    ...Foreach,
    pipeline: Expression.optional().describe('A pipeline that a step wrote: steps.NAME.outputs.X.'),
    outputs: z
      .union([z.record(z.string(), z.union([Output, WrittenOutput, InnerOutput])), OutputNames])
      .optional(),
    after: z.array(z.string()).optional(),
    get steps() {
      return Steps.optional().describe('A sub-pipeline: its steps begin and are skipped together.');
    },
    get else() {
      return Steps.optional().describe('Steps that run if the condition is false.');
    },
  })
  .meta({ id: 'step' });
const Steps: z.ZodType = z.record(
  StepName,
  z.lazy(() => Step),
);
const Handlers = z.array(z.strictObject({ name: StepName.optional(), ...Leaf })).optional();

const Schedule = z.union([
  z.string().describe('A cron expression: minute, hour, day of month, month, day of week.'),
  z.strictObject({
    cron: z.string().optional(),
    every: Duration.optional().describe('Instead of cron.'),
    timezone: z.string().optional().describe('Of cron, as Europe/Berlin; UTC unless told.'),
    overlap: OverlapPolicy.optional().describe('While the run before goes on; skip unless told.'),
    catch_up: Duration.optional().describe('After an outage, runs this late are made up for.'),
    jitter: Duration.optional().describe('Each run starts late by a random time up to this.'),
  }),
]);
const TriggerParams = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.json())]))
  .describe('Params: expressions over what the trigger brings along.');
const ModelEvent = z.strictObject({
  name: z.string(),
  event: z.enum(['version', 'alias']).optional().describe('version, unless an alias is named.'),
  alias: z.string().optional().describe('Only when this alias is set.'),
  params: TriggerParams.optional(),
});
const DatasetEvent = z.strictObject({
  pipeline: z.string().describe('Whose runs commit it.'),
  step: z.string(),
  output: z.string(),
  params: TriggerParams.optional(),
});
const On = z.strictObject({
  schedule: Schedule.optional().describe('Starts runs by the clock.'),
  webhook: z
    .union([z.boolean(), z.strictObject({ params: TriggerParams.optional() })])
    .optional()
    .describe('Starts a run for each call with its token; params over body.'),
  model: z
    .union([ModelEvent, z.array(ModelEvent).max(LISTENS_MAX)])
    .optional()
    .describe('Starts a run for each new version or alias; params over event.'),
  dataset: z
    .union([DatasetEvent, z.array(DatasetEvent).max(LISTENS_MAX)])
    .optional()
    .describe('Starts a run for each dataset that differs from the one before; params over event.'),
});

/** A pipeline file as the compiler takes it, before names and references are checked. */
export const PipelineFile = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  on: On.optional().describe('What starts runs once the pipeline is deployed.'),
  params: z.record(z.string(), Param).optional(),
  defaults: z.strictObject({ ...Common, ...Foreach }).optional(),
  steps: Steps,
  outputs: z
    .record(z.string(), Expression)
    .optional()
    .describe('What it gives to a step of another pipeline that runs it.'),
  on_success: Handlers.describe('Run one after the other when all steps have ended well.'),
  on_failure: Handlers.describe('Run one after the other when a step has failed.'),
  always: Handlers.describe('Run at the end of every run, also after a cancel.'),
});

/** JSON Schema (2020-12) of a pipeline file. */
export function pipelineJsonSchema(): object {
  return {
    ...z.toJSONSchema(PipelineFile, { target: 'draft-2020-12', io: 'input', reused: 'ref' }),
    title: 'Anneal pipeline',
  };
}
