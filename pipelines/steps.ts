import { bestOf, outputsOf } from '../dag/builtins';
import { groupBy } from '../dag/group-by';
import { isArtifactRef } from '../dag/scope';
import { AppError, found, requireArgument } from '../errors/app-error';
import type { ExecuteStepInput } from '../schemas/attempts';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Outputs } from '../schemas/plan';
import { completeSteps as insertCompleted } from '../storage/postgres/completed-steps';
import type { CompletedStep } from '../storage/postgres/completed-steps';
import * as stored from '../storage/postgres/steps';
import { createBatches } from './batches';
import { notify, type SendNotification } from './notifications';
import type { PipelineRunDeps } from './pipeline-runs';
import { renderStep } from './step-scope';

/** What the built-in steps need besides the database; given by workers/control.ts. */
export interface BuiltinDeps extends PipelineRunDeps {
  readonly registerModel: (input: {
    readonly projectId: string;
    readonly model: string;
    readonly artifactId: string;
    readonly runId?: string; // the tracked run that made the artifact
    readonly alias?: string;
    readonly actor: string;
    readonly idempotencyKey: string;
  }) => Promise<{ readonly version: number }>;
  readonly sendNotification: SendNotification;
}
interface Builtin extends stored.StepKey {
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly with: Readonly<Record<string, unknown>>;
  readonly run: Pick<PipelineRun, 'pipeline'>;
}

interface CompleteStep extends CompletedStep {
  readonly projectId: string;
  readonly runId: string;
}
/** Carries out built-in steps; opened once per process, because it gathers what ends together. */
export type RunBuiltin = (input: ExecuteStepInput) => Promise<void>;

export function createRunBuiltin(deps: BuiltinDeps): RunBuiltin {
  const complete = createBatches<CompleteStep>((steps) => completeSteps(deps, steps));
  return async (input) => {
    const { projectId, runId, stepKey, readyAtMs } = input;
    const startedAtMs = Date.now();
    const step = found(await stored.findStep(deps.postgres, input), 'step', stepKey);
    if (step.isHeld && step.outputs === null) {
      throw new AppError('RUN_PAUSED', `The run '${runId}' is paused.`);
    }
    const outputs = step.outputs ?? (await carryOut(deps, input, step));
    const endedAtMs = Date.now();
    await complete({ projectId, runId, stepKey, outputs, readyAtMs, startedAtMs, endedAtMs });
  };
}

/** Commits what ended together: one transaction for each run. */
async function completeSteps(deps: BuiltinDeps, steps: readonly CompleteStep[]): Promise<void> {
  for (const [runId, own] of groupBy(steps, (step) => step.runId)) {
    const projectId = own[0]?.projectId ?? '';
    const of = { projectId, runId, node: 'control worker', steps: own };
    await insertCompleted(deps.postgres, of);
  }
}

/** Repeating it gives the same: registering goes by an idempotency key. */
async function carryOut(
  deps: BuiltinDeps,
  key: stored.StepKey,
  step: stored.StoredStep,
): Promise<Outputs> {
  const { uses } = step.spec;
  if (uses === 'builtin/nothing') return {};
  const builtin: Builtin = { ...key, ...(await renderStep(deps, key, step)) };
  if (uses === 'builtin/best') {
    const { by, mode = 'max' } = builtin.with;
    return bestOf(builtin.inputs['runs'], { by: String(by), mode: String(mode) });
  }
  if (uses === 'builtin/outputs') return outputsOf(builtin.inputs);
  if (uses === 'builtin/notify') {
    const { pipeline } = builtin.run;
    return notify(deps.sendNotification, { ...builtin, pipeline, ended: step.run });
  }
  if (uses === 'builtin/register-model') return registerModel(deps, builtin);
  throw new AppError('NOT_IMPLEMENTED', `There is no built-in step '${uses ?? ''}'.`);
}

async function registerModel(deps: BuiltinDeps, builtin: Builtin): Promise<Outputs> {
  const { projectId, runId, stepKey } = builtin;
  const { name, alias } = builtin.with;
  const { model } = builtin.inputs;
  requireArgument(isArtifactRef(model), "The input 'model' is not an artifact.");
  requireArgument(typeof name === 'string', "'name' in with is not the name of a model.");
  requireArgument(alias === undefined || typeof alias === 'string', "'alias' is not a text.");
  const made = { projectId, runId, artifactId: model.artifact };
  const trackedRunId = await stored.findTrackedRunOf(deps.postgres, made);
  const { version } = await deps.registerModel({
    projectId,
    model: name,
    artifactId: model.artifact,
    ...(trackedRunId === undefined ? {} : { runId: trackedRunId }),
    ...(alias === undefined ? {} : { alias }),
    actor: `pipeline-run/${runId}`,
    idempotencyKey: `${runId}/${stepKey}`,
  });
  return { version: { value: version } };
}
