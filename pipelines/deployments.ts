import { checkDeployedParams } from '../dag/deployed-params';
import { given as withoutUndefined } from '../dag/given';
import { planId as planIdOf } from '../dag/plan-id';
import { AppError, found } from '../errors/app-error';
import type * as schema from '../schemas/deployments';
import type { Plan } from '../schemas/plan';
import type { ScheduleSpec } from '../schemas/schedules';
import type { Sql } from '../storage/postgres/client';
import * as stored from '../storage/postgres/deployments';
import { replaceEventTriggers } from '../storage/postgres/event-triggers';
import { waitForLock } from '../storage/postgres/locks';
import { insertPlan } from '../storage/postgres/plans';
import { findSchedule } from '../storage/postgres/schedules';
import { describeChanges, type Comparable } from './deployment-changes';
import { subjectsOf } from './events';
import { applyHook, hookPath, type HookDeps } from './hooks';
import { checkPlan, preparePlan } from './plans';
import { assertOneClock, removeSchedule, writeSchedule, type ScheduleDeps } from './schedules';

export type DeploymentDeps = ScheduleDeps & HookDeps;
type By = stored.DeploymentKey & { readonly actor: string };

/** Of one pipeline, as `show` tells them; the others are in the table. */
const HISTORY_MAX = 20;
const NEXT_MAX = 5;

/**
 * Deploys a pipeline: a new numbered version, if anything differs from the one before, and the schedule as
 * its `on` says. Whoever deploys the same pipeline at the same time waits. INVALID_PLAN or INVALID_ARGUMENT
 * for what no run could be started from, ALREADY_EXISTS if its name is that of a schedule made by hand.
 */
export async function deploy(
  deps: DeploymentDeps,
  by: By,
  put: schema.PutDeployment,
): Promise<schema.DeployAnswer> {
  const { projectId, name, actor } = by;
  const plan = checkPlan(put.plan);
  const { params, triggers, codeDigest = null, git = null } = put;
  if (triggers.schedule !== undefined) assertOneClock(triggers.schedule);
  checkDeployedParams(plan, params, triggers);
  const planId = planIdOf(plan);
  const now: Comparable = { pipeline: plan.name, planId, params, codeDigest, git, triggers };
  // outside of the transaction: a run may start before that has ended
  if (!put.dryRun) await insertPlan(deps.postgres, { projectId, id: planId, plan });
  return deps.postgres.transaction(async (sql) => {
    await waitForLock(sql, `deployment/${projectId}/${name}`);
    const before = await stored.findDeployment(sql, by);
    const changes = describeChanges(before, now);
    await assertNameIsFree(sql, by);
    if (put.dryRun) return { deployment: before ?? preview(by, now), changes, hook: null };
    const row = { ...now, projectId, name, codeDigest: put.codeDigest, git: put.git };
    const deployment =
      before !== undefined && changes.length === 0
        ? before
        : found(
            await stored.insertDeployment(sql, { ...row, deployedBy: actor }),
            'deployment',
            name,
          );
    await replaceEventTriggers(sql, { ...by, subjects: subjectsOf(triggers) });
    await applySchedule(deps, sql, { ...by, deployment, plan });
    return { deployment, changes, hook: await applyHook(deps, sql, { ...by, triggers }) };
  });
}

/** What a dry run shows of a pipeline that is not deployed yet. */
function preview({ name, actor }: By, now: Comparable): schema.Deployment {
  return { ...now, name, version: 1, deployedBy: actor, deployedAt: new Date().toISOString() };
}

async function assertNameIsFree(sql: Sql, key: stored.DeploymentKey): Promise<void> {
  const schedule = await findSchedule(sql, key);
  if (schedule === undefined || schedule.spec.deployment !== undefined) return;
  const message = `There is a schedule '${key.name}' that was made by hand`;
  throw new AppError(
    'ALREADY_EXISTS',
    `${message}: delete it, or deploy the pipeline under another name.`,
  );
}

/** Makes the schedule what the deployment says, also if Temporal has lost it. */
async function applySchedule(
  deps: ScheduleDeps,
  sql: Sql,
  { deployment, plan, ...by }: By & { deployment: schema.Deployment; plan: Plan },
): Promise<void> {
  const { schedule } = deployment.triggers;
  if (schedule === undefined) {
    if ((await findSchedule(sql, by)) !== undefined) await removeSchedule(deps, sql, by);
    return;
  }
  const { codeDigest, git } = deployment;
  const { planId, params } = preparePlan({ plan, params: deployment.params });
  const spec: ScheduleSpec = {
    ...schedule,
    ...{ planId, params, pipeline: plan.name, deployment: deployment.version },
    ...withoutUndefined({ codeDigest: codeDigest ?? undefined, git: git ?? undefined }),
  };
  const state = { isPaused: undefined, note: undefined }; // as they were
  await writeSchedule(deps, sql, { ...by, spec, state });
}

/** Deployed pipelines by name, behind the name `after`; `next` is null at the end. */
export async function listDeployments(
  deps: ScheduleDeps,
  list: { readonly projectId: string; readonly after: string; readonly limit: number },
): Promise<{ readonly pipelines: schema.DeployedPipeline[]; readonly next: string | null }> {
  const limit = list.limit + 1; // one more tells whether there is a next page
  const rows = await stored.listDeployedPipelines(deps.postgres, { ...list, limit });
  const pipelines = rows.slice(0, list.limit);
  return { pipelines, next: rows.length > limit - 1 ? (pipelines.at(-1)?.name ?? null) : null };
}

/** One deployed pipeline with the versions before and the times to come, or NOT_FOUND. */
export async function getDeployment(
  deps: ScheduleDeps,
  key: stored.DeploymentKey,
): Promise<schema.ShownPipeline> {
  const [row] = await stored.listDeployedPipelines(deps.postgres, { ...key, limit: 1 });
  const pipeline = found(row, 'deployed pipeline', key.name);
  const history = await stored.listDeployments(deps.postgres, { ...key, limit: HISTORY_MAX });
  return {
    ...pipeline,
    schedule: await describeSchedule(deps, key, pipeline),
    hookPath: pipeline.triggers.webhook === undefined ? null : hookPath(key.name),
    history,
  };
}

async function describeSchedule(
  deps: ScheduleDeps,
  key: stored.DeploymentKey,
  { triggers }: schema.Deployment,
): Promise<schema.ShownPipeline['schedule']> {
  if (triggers.schedule === undefined) return null;
  const state = await deps.starter.findSchedule(key);
  return {
    isPaused: state?.isPaused ?? false,
    isKnown: state !== undefined,
    next: (state?.next ?? []).slice(0, NEXT_MAX).map((at) => at.toISOString()),
  };
}

/** Starts nothing of a pipeline by itself any more; its versions and runs stay, also one under way. */
export async function deleteDeployment(deps: DeploymentDeps, by: By): Promise<void> {
  const { projectId, name } = by;
  await deps.postgres.transaction(async (sql) => {
    await waitForLock(sql, `deployment/${projectId}/${name}`);
    found(await stored.findDeployment(sql, by), 'deployed pipeline', name);
    const schedule = await findSchedule(sql, by);
    if (schedule?.spec.deployment !== undefined) await removeSchedule(deps, sql, by);
    await applyHook(deps, sql, { ...by, triggers: {} });
    await stored.deleteDeployment(sql, by);
  });
}
