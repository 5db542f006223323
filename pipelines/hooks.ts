import { createHash } from 'node:crypto';
import { paramsOfHook, renderTriggerParams } from '../dag/trigger-params';
import { AppError, isAppError } from '../errors/app-error';
import type { Deployment, HookToken } from '../schemas/deployments';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Postgres, Sql } from '../storage/postgres/client';
import { auditDeployment, type DeploymentKey } from '../storage/postgres/deployments';
import { findPipelineRunByRunKey } from '../storage/postgres/pipeline-runs';
import { hasToken, replaceToken, revokeToken } from '../storage/postgres/tokens';
import { currentDeployment, startDeployed } from './deployed-runs';
import type { PipelineRunStart } from './pipeline-runs';

export interface HookDeps {
  readonly postgres: Postgres;
  readonly createToken: (kind: 'hook') => { readonly text: string; readonly hash: Buffer };
}
type By = DeploymentKey & { readonly actor: string };

/** Its token is stored under a name of its own, so that a new one takes the place of the old. */
function tokenIdOf({ projectId, name }: DeploymentKey): string {
  return `hook/${projectId}/${name}`;
}

/** Makes the hook what a deployment says: a token that is new, the one that is there, or none any more. */
export async function applyHook(
  deps: HookDeps,
  sql: Sql,
  { triggers, ...by }: By & Pick<Deployment, 'triggers'>,
): Promise<HookToken | null> {
  if (triggers.webhook === undefined) {
    await revokeToken(sql, tokenIdOf(by));
    return null;
  }
  return (await hasToken(sql, tokenIdOf(by))) ? null : makeToken(deps, sql, by);
}

/** A new token for the hook of a deployed pipeline; the one before is valid no longer. */
export async function renewHookToken(deps: HookDeps, by: By): Promise<HookToken> {
  const { triggers } = await currentDeployment(deps, by);
  if (triggers.webhook === undefined) {
    const message = `The deployed pipeline '${by.name}' has no webhook`;
    throw new AppError('INVALID_STATE', `${message}: write 'webhook' under 'on' and deploy it.`);
  }
  return deps.postgres.transaction((sql) => makeToken(deps, sql, by));
}

async function makeToken(deps: HookDeps, sql: Sql, by: By): Promise<HookToken> {
  const { projectId, name } = by;
  const { text, hash } = deps.createToken('hook');
  await replaceToken(sql, tokenIdOf(by), { projectId, kind: 'hook', hash, name, permissions: [] });
  await auditDeployment(sql, { ...by, action: 'hook-token', detail: {} });
  return { token: text, path: hookPath(name) };
}

/** Where a hook is called. */
export function hookPath(name: string): string {
  return `/api/v1/hooks/${encodeURIComponent(name)}`;
}

/**
 * Starts a run for a call of a hook; one for all calls with the same delivery key, whatever is deployed in
 * between. INVALID_ARGUMENT names the params that the body does not give or that do not fit.
 */
export async function startByHook(
  deps: PipelineRunStart,
  key: DeploymentKey,
  call: { readonly body: unknown; readonly delivery: string | undefined },
): Promise<PipelineRun> {
  const { projectId, name } = key;
  const runKey = call.delivery === undefined ? undefined : runKeyOf(name, call.delivery);
  const before = await findByKey(deps, projectId, runKey);
  if (before !== undefined) return before;
  const { triggers } = await currentDeployment(deps, key);
  const { webhook } = triggers;
  const params = webhook === undefined ? {} : renderTriggerParams(paramsOfHook(webhook), call.body);
  const trigger = { kind: 'webhook' as const, subject: name, chain: [] };
  const start = { params, trigger, priority: undefined, runKey };
  return startDeployed(deps, key, start).catch(async (error: unknown) => {
    // the same delivery, started by another call with what was deployed a moment ago
    const first = isTaken(error) ? await findByKey(deps, projectId, runKey) : undefined;
    if (first === undefined) throw error;
    return first;
  });
}

async function findByKey(
  deps: PipelineRunStart,
  projectId: string,
  runKey: string | undefined,
): Promise<PipelineRun | undefined> {
  if (runKey === undefined) return undefined;
  return findPipelineRunByRunKey(deps.postgres, { projectId, runKey });
}

function isTaken(error: unknown): boolean {
  return isAppError(error) && error.code === 'ALREADY_EXISTS';
}

/** The key of the caller is of any length and signs. */
function runKeyOf(name: string, delivery: string): string {
  return `hook/${name}/${createHash('sha256').update(delivery).digest('hex')}`;
}
