import { isArtifactRef } from '../dag/scope';
import { found } from '../errors/app-error';
import type {
  AttemptTicket,
  BeginAttempt,
  Download,
  FailAttempt,
  FindOlderCheckpoint,
  ReportProgress,
} from '../schemas/attempts';
import type { z } from 'zod';
import {
  endAttempt,
  insertAttempt,
  loseOlderAttempts,
  setProgress,
  setResumedFrom,
} from '../storage/postgres/attempts';
import type { AttemptKey } from '../storage/postgres/attempts';
import { selectNewestCheckpoint } from '../storage/postgres/checkpoints';
import type { Checkpoint } from '../storage/postgres/checkpoints';
import { objectKey } from '../storage/objects/keys';
import { insertStepArtifacts } from '../storage/postgres/step-artifacts';
import { assertNotHeld, findStep, markStepStarted } from '../storage/postgres/steps';
import type { StoredStep } from '../storage/postgres/steps';
import { insertToken, revokeStepTokens } from '../storage/postgres/tokens';
import { assertNewestAttempt } from '../tracker/adoption';
import { signDownloads } from '../tracker/artifacts';
import type { ArtifactDeps } from '../tracker/artifacts';
import { contentOf } from './content-keys';
import { renderStep, seedOf } from './step-scope';
import type { RenderedStep } from './step-scope';

export interface AttemptDeps extends ArtifactDeps {
  /** Makes the token that the attempt's process calls us with. */
  readonly createToken: (kind: 'attempt') => { readonly text: string; readonly hash: Buffer };
}
/** A URL of the code bundle lives as long as any other. */
const URL_SECONDS = 15 * 60;
/** Beyond the step's own timeout: time for its inputs, outputs and late words. */
const TOKEN_MARGIN_SECONDS = 24 * 3_600;

/**
 * Begins an attempt: older ones of the step lose the right to write, the node gets everything that
 * it needs. Idempotent by attempt number; a step that was committed before is not run again. RUN_PAUSED
 * while the run is paused, unless this attempt has begun before.
 */
export async function beginAttempt(
  deps: AttemptDeps,
  input: BeginAttempt & { readonly projectId: string },
): Promise<AttemptTicket> {
  const { projectId, runId, stepKey, attempt, node, readyAtMs } = input;
  const key = { projectId, runId, stepKey, attempt };
  const step = found(await findStep(deps.postgres, key), 'step', `${runId}/${stepKey}`);
  const rendered = await renderStep(deps, key, step);
  if (step.outputs !== null) return committedTicket(rendered, step);
  const checkpoint = await selectNewestCheckpoint(deps.postgres, key);
  const token = deps.createToken('attempt');
  const waited = `waiting for a worker of pool ${step.spec.pool}`;
  const content = contentOf(step, rendered);
  const ready = readyAtMs === undefined ? undefined : { reason: waited, atMs: readyAtMs };
  await deps.postgres.transaction(async (sql) => {
    await assertNotHeld(sql, key);
    await markStepStarted(sql, { ...key, reason: `on node ${node}`, ready, content });
    await assertNewestAttempt(sql, { ...key, pipelineRunId: runId });
    await insertAttempt(sql, { ...key, node, resumedFrom: checkpoint?.name ?? null });
    const artifacts = Object.entries(rendered.inputs).flatMap(([name, given]) =>
      artifactsIn(given).map((artifactId) => ({ name, artifactId })),
    );
    await insertStepArtifacts(sql, { ...key, role: 'input', artifacts });
    await loseOlderAttempts(sql, key);
    await revokeStepTokens(sql, key);
    const seconds = step.spec.timeoutSeconds + TOKEN_MARGIN_SECONDS;
    await insertToken(sql, {
      projectId,
      kind: 'attempt',
      hash: token.hash,
      name: `${stepKey}#${attempt}`,
      permissions: [],
      attempt: { runId, stepKey, attempt },
      expiresAt: new Date(Date.now() + seconds * 1000),
    });
  });
  return {
    committed: null,
    token: token.text,
    spec: step.spec,
    pipeline: rendered.run.pipeline,
    argv: [...rendered.argv],
    env: { ...rendered.env },
    with: rendered.with as AttemptTicket['with'],
    params: rendered.run.params,
    item: (step.item ?? null) as AttemptTicket['item'],
    inputs: await downloadInputs(deps, projectId, rendered),
    code: await signCode(deps, projectId, rendered.run.codeDigest),
    resume: await signCheckpoint(deps, projectId, checkpoint),
    seed: seedOf(key),
  };
}

/** Nothing is run and nothing may be written: the outputs are all that counts. */
function committedTicket({ run }: RenderedStep, step: StoredStep): AttemptTicket {
  return {
    committed: step.outputs,
    token: '',
    spec: step.spec,
    pipeline: run.pipeline,
    argv: [],
    env: {},
    with: {},
    params: {},
    item: null,
    inputs: {},
    code: null,
    resume: null,
    seed: 0,
  };
}

async function downloadInputs(
  deps: AttemptDeps,
  projectId: string,
  { inputs, positions }: Pick<RenderedStep, 'inputs' | 'positions'>,
): Promise<AttemptTicket['inputs']> {
  const sign = (artifactId: string): Promise<Download> =>
    signDownloads(deps, { projectId, artifactId });
  const resolved: AttemptTicket['inputs'] = {};
  for (const [name, given] of Object.entries(inputs)) {
    if (isArtifactRef(given)) {
      resolved[name] = { download: await sign(given.artifact) };
      continue;
    }
    const at = positions[name];
    const value = at === undefined ? given : withPositions(given as object[], at);
    const ids = [...new Set(artifactsIn(value))];
    const isFile = at !== undefined || ids.length > 0;
    const downloads = isFile ? { downloads: await Promise.all(ids.map(sign)) } : {};
    resolved[name] = { value: value as z.infer<ReturnType<typeof z.json>>, ...downloads };
  }
  return resolved;
}

/** The outputs of a foreach step, each entry with `index`, unless an output has that name. */
function withPositions(list: readonly object[], positions: readonly number[]): object[] {
  return list.map((entry, i) => ({ index: positions[i], ...entry }));
}

/** The ids of all artifacts inside a value. */
function artifactsIn(value: unknown): string[] {
  if (isArtifactRef(value)) return [value.artifact];
  if (value === null || typeof value !== 'object') return [];
  return Object.values(value).flatMap(artifactsIn);
}

async function signCode(
  deps: AttemptDeps,
  projectId: string,
  digest: string | null,
): Promise<AttemptTicket['code']> {
  if (digest === null) return null;
  const url = await deps.objects.signGet(objectKey(projectId, digest), {
    expiresSeconds: URL_SECONDS,
  });
  return { digest, url };
}

async function signCheckpoint(
  deps: ArtifactDeps,
  projectId: string,
  checkpoint: Checkpoint | undefined,
): Promise<AttemptTicket['resume']> {
  if (checkpoint === undefined) return null;
  const download = await signDownloads(deps, { projectId, artifactId: checkpoint.artifactId });
  return { name: checkpoint.name, download };
}

/**
 * The newest checkpoint of the step besides those that the attempt found unusable; the attempt is
 * then known to go on from it. ATTEMPT_SUPERSEDED if a newer attempt has begun.
 */
export async function resumeFromOlder(
  deps: ArtifactDeps,
  input: { readonly attempt: AttemptKey } & FindOlderCheckpoint,
): Promise<AttemptTicket['resume']> {
  const { attempt, unusable } = input;
  const checkpoint = await deps.postgres.transaction(async (sql) => {
    await assertNewestAttempt(sql, { ...attempt, pipelineRunId: attempt.runId });
    const older = await selectNewestCheckpoint(sql, { ...attempt, except: unusable });
    await setResumedFrom(sql, { ...attempt, resumedFrom: older?.name ?? null });
    return older;
  });
  return signCheckpoint(deps, attempt.projectId, checkpoint);
}

/** Keeps what an attempt says of itself; ATTEMPT_SUPERSEDED if a newer attempt has begun. */
export async function reportProgress(
  deps: Pick<AttemptDeps, 'postgres'>,
  input: { readonly attempt: AttemptKey; readonly report: ReportProgress },
): Promise<void> {
  const { attempt, report } = input;
  await assertNewestAttempt(deps.postgres, { ...attempt, pipelineRunId: attempt.runId });
  const progress = { ...report, at: new Date().toISOString() };
  await setProgress(deps.postgres, { ...attempt, progress });
}

/** Records why an attempt failed; the workflow decides what follows. */
export async function failAttempt(
  deps: Pick<AttemptDeps, 'postgres'>,
  input: { readonly attempt: AttemptKey } & z.infer<typeof FailAttempt>,
): Promise<void> {
  const { failureClass, reason, exitCode } = input;
  await endAttempt(deps.postgres, {
    ...input.attempt,
    status: 'failed',
    failureClass,
    reason,
    exitCode,
  });
}
