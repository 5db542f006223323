import { AppError } from '../errors/app-error';
import type { KeyValue } from '../schemas/experiments';
import type { MetricPoint } from '../schemas/metrics';
import type { Run } from '../schemas/runs';
import type { Principal } from '../schemas/tokens';
import type { Postgres, Sql } from '../storage/postgres/client';
import { insertParams, overwriteParams, selectParams } from '../storage/postgres/params';
import { checkBatch, checkMetricKeys, checkParams } from './limits';
import type { Metrics } from './metrics';
import { assertWritableRun, writeTags } from './runs';

/** What is logged to a run in one request. */
export interface LogBatch {
  readonly principal: Principal;
  readonly runId: string;
  readonly metrics: readonly MetricPoint[];
  readonly params: readonly KeyValue[];
  readonly tags: readonly KeyValue[];
}

/**
 * Logs a batch, all of it or nothing: params and tags in one transaction, which commits only after
 * the metrics are safe in the write-ahead log. Sent again, it changes nothing.
 */
export async function logBatch(
  deps: { readonly postgres: Postgres; readonly metrics: Metrics },
  batch: LogBatch,
): Promise<void> {
  checkBatch(batch);
  checkMetricKeys(batch.metrics);
  const { projectId, attempt } = batch.principal;
  const points = {
    projectId,
    runId: batch.runId,
    attempt: attempt?.attempt ?? 0,
    points: batch.metrics,
  };
  if (batch.params.length === 0 && batch.tags.length === 0) {
    await assertWritableRun(deps, batch);
    await deps.metrics.append(points);
    return;
  }
  await deps.postgres.transaction(async (sql) => {
    const run = await assertWritableRun({ postgres: sql }, batch);
    await writeParams(sql, batch, run);
    if (batch.tags.length > 0) {
      await writeTags(sql, { projectId, runId: batch.runId, tags: batch.tags });
    }
    if (batch.metrics.length > 0) await deps.metrics.append(points);
  });
}

/** Params are written once; an attempt that continues an earlier one's run may change them there. */
async function writeParams(sql: Sql, batch: LogBatch, run: Run): Promise<void> {
  const entries = checkParams(batch.params);
  if (entries.length === 0) return;
  const { projectId, attempt } = batch.principal;
  const at = { projectId, runId: batch.runId, entries };
  const own = attempt?.runId === run.pipelineRunId && attempt.stepKey === run.stepKey;
  if (own && attempt.attempt > 1) {
    await overwriteParams(sql, at);
    return;
  }
  await insertParams(sql, at);
  const stored = await selectParams(sql, { projectId, runIds: [batch.runId] });
  const values = new Map(stored.map((param) => [param.key, param.value]));
  for (const { key, value } of entries) {
    const old = values.get(key);
    if (old === value) continue;
    throw new AppError(
      'INVALID_ARGUMENT',
      `Changing param values is not allowed. Param with key='${key}' was already logged with value='${old ?? ''}' for run ID='${batch.runId}'. Attempted logging new value '${value}'.`,
    );
  }
}
