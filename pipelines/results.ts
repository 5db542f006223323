import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Sql } from '../storage/postgres/client';
import * as stored from '../storage/postgres/step-content';
import type { StepKey, StoredStep } from '../storage/postgres/steps';
import { explainDifference, type Content, type ContentParts } from './content-keys';

/** A step whose result is looked for, and what that depends on. */
export interface WantedResult {
  readonly run: Pick<PipelineRun, 'pipeline' | 'resumedFrom'>;
  readonly key: StepKey;
  readonly step: Pick<StoredStep, 'spec'>;
  readonly content: Content;
}

/** A result of the same content: of the run before, or, for a step with a cache, of any run. */
export async function findResult(
  sql: Sql,
  { run, key, step, content }: WantedResult,
): Promise<stored.ReusableStep | undefined> {
  const { projectId, stepKey } = key;
  const contentKey = content.key;
  if (run.resumedFrom !== null) {
    const of = { projectId, runId: run.resumedFrom, stepKey, contentKey };
    const found = await stored.findReusableInRun(sql, of);
    if (found !== undefined) return found;
  }
  const { cache } = step.spec;
  if (cache === undefined) return undefined;
  return stored.findNewestReusable(sql, {
    projectId,
    contentKey,
    ttlSeconds: cache.ttlSeconds ?? null,
  });
}

/** Why no result was found: what differs from the nearest one, or how old it is. */
export async function explainMiss(
  sql: Sql,
  { run, key, step, content }: WantedResult,
): Promise<string> {
  const { projectId, stepKey } = key;
  const { name, cache } = step.spec;
  if (run.resumedFrom !== null) {
    const of = { projectId, runId: run.resumedFrom, stepKey };
    return whyNotReused(await stored.findContent(sql, of), { ...of, parts: content.parts });
  }
  const { pipeline } = run;
  const like = { projectId, pipeline, step: name, stepKey, contentKey: content.key };
  const nearest = await stored.findNearest(sql, like);
  if (nearest?.parts == null)
    return `no result: no step ${name} of ${pipeline} has succeeded before`;
  const { runId, parts, ageSeconds } = nearest;
  if (nearest.key !== content.key) return differs(runId, parts, content.parts);
  const age = Math.floor(ageSeconds);
  return `expired: the result of run ${runId} is ${age} s old; its time to live is ${cache?.ttlSeconds ?? 0} s`;
}

/** Says which part of a step's content keeps it from taking the result of the run before. */
export function whyNotReused(
  before: Pick<stored.StepContent, 'status' | 'parts'> | undefined,
  now: { readonly runId: string; readonly stepKey: string; readonly parts: ContentParts },
): string {
  const { runId, stepKey, parts } = now;
  if (before === undefined) return `run ${runId} has no step ${stepKey}`;
  if (before.status !== 'succeeded') return `it did not succeed in run ${runId}: ${before.status}`;
  if (before.parts === null) return `run ${runId} did not keep what its steps depended on`;
  return differs(runId, before.parts, parts);
}

function differs(runId: string, before: ContentParts, now: ContentParts): string {
  return `differs from run ${runId}: ${explainDifference(before, now)}`;
}
