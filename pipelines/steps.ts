import { bestOf } from '../dag/builtins';
import { isArtifactRef } from '../dag/scope';
import { AppError, found, requireArgument } from '../errors/app-error';
import type { Step } from '../schemas/pipeline-runs';
import type { Outputs } from '../schemas/plan';
import * as stored from '../storage/postgres/steps';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';
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
}
interface Builtin extends stored.StepKey {
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly with: Readonly<Record<string, unknown>>;
}

/** All steps of a run in the order of its graph, each waiting one with a reason, or NOT_FOUND. */
export async function listSteps(
  deps: PipelineRunDeps,
  run: { readonly projectId: string; readonly runId: string },
): Promise<Step[]> {
  await getPipelineRun(deps, { projectId: run.projectId, id: run.runId });
  const listed = await stored.listSteps(deps.postgres, run);
  const open = new Set(listed.filter(({ step }) => !hasEnded(step)).map(({ name }) => name));
  return listed.map((item) => ({
    ...item.step,
    reason: item.step.reason ?? whyWaiting(item, open),
  }));
}

function hasEnded(step: Step): boolean {
  return ['succeeded', 'failed', 'skipped', 'cancelled'].includes(step.status);
}

/** Why a step that the workflow has not taken up yet waits; null if it does not wait. */
function whyWaiting(item: stored.ListedStep, open: ReadonlySet<string>): string | null {
  if (item.step.status !== 'waiting') return null;
  const needs = item.needs.filter((name) => open.has(name));
  if (needs.length > 0) return `waiting for ${needs.join(', ')} to end`;
  if (item.parallel === undefined) return null;
  return `waiting for one of the ${item.parallel} at once to end`;
}

/** Carries out a built-in step and commits its outputs. Idempotent: the first commit wins. */
export async function runBuiltin(deps: BuiltinDeps, key: stored.StepKey): Promise<Outputs> {
  const step = found(await stored.findStep(deps.postgres, key), 'step', key.stepKey);
  if (step.outputs !== null) return step.outputs;
  const rendered = await renderStep(deps, key, step);
  const outputs = await carryOut(deps, step.spec.uses, { ...key, ...rendered });
  const committed = await stored.commitOutputs(deps.postgres, { ...key, outputs });
  return found(committed, 'step', key.stepKey);
}

async function carryOut(
  deps: BuiltinDeps,
  uses: string | undefined,
  builtin: Builtin,
): Promise<Outputs> {
  if (uses === 'builtin/best') {
    const { by, mode = 'max' } = builtin.with;
    return bestOf(builtin.inputs['runs'], { by: String(by), mode: String(mode) });
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
