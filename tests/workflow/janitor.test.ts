import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStarter, type Starter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { sweepRuns, type WorkflowEnd } from '../../pipelines/janitor';
import { listSteps } from '../../pipelines/step-reasons';
import { tryLock } from '../../storage/postgres/locks';
import { listAttempts } from '../../storage/postgres/attempts';
import { listTransitions } from '../../storage/postgres/transitions';
import type { Plan } from '../../schemas/plan';
import {
  CONTROL_QUEUE,
  pipelineRunWorkflowId,
  RUN_PIPELINE,
  segmentWorkflowId,
} from '../../workflows/contract';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import { openWorkerLab, type WorkerLab } from '../support/worker-lab';

const projectId = 'default';
let lab: WorkerLab;
let starter: Starter;
beforeAll(async () => {
  lab = await openWorkerLab();
  await lab.startWorker();
  starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: lab.env.address }));
});
afterAll(async () => {
  await starter.close();
  await lab.close();
});

async function sweep(ageSeconds = 0): Promise<string[]> {
  const deps = { ...lab.steps.db, findEndedWorkflows: starter.findEndedWorkflows };
  const { ended } = await sweepRuns(deps, { after: '', ageSeconds });
  return ended.map(({ runId }) => runId);
}
const pidIn = (file: string): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0);
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
/** Makes a tracked run by hand, then hangs; the file holds the id of the process. */
function hanging(pidFile: string, after: readonly string[] = []): Plan {
  const script = `
    curl -sf -X POST "$MLFLOW_TRACKING_URI/api/2.0/mlflow/runs/create" \
      -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN" -H 'Content-Type: application/json' \
      -d '{}' > /dev/null
    echo $$ > ${pidFile}; exec sleep 300`;
  const many = after.map((name) => step(name, { uses: 'builtin/nothing', after: ['train'] }));
  return plan([step('train', { argv: ['sh', '-c', script] }), ...many]);
}
async function statusOf(workflowId: string): Promise<string> {
  return (await lab.env.client.workflow.getHandle(workflowId).describe()).status.name;
}

describe('a run whose workflow was terminated', () => {
  it('ends with its process, steps, attempts and tracked runs', async () => {
    const { postgres } = lab.steps.db;
    const pidFile = join(lab.steps.folder, 'terminated');
    const { runId } = await lab.start(hanging(pidFile, ['then']));
    await until(() => isAlive(pidIn(pidFile)));
    expect(await sweep()).toEqual([]); // it is under way
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(runId));
    await handle.terminate('the budget is spent');
    await until(() => !isAlive(pidIn(pidFile)));
    expect(await sweep(60)).toEqual([]); // too young to be judged
    expect(await sweep()).toEqual([runId]);
    expect(await sweep()).toEqual([]);
    const run = await getPipelineRun({ postgres }, { projectId, id: runId });
    expect(run.status).toBe('cancelled');
    expect(run.reason).toMatch(/^its workflow was terminated: the budget is spent \(by .+\)$/);
    const steps = await listSteps({ postgres }, { projectId, runId });
    expect(steps.map(({ key, status, reason }) => [key, status, reason])).toEqual([
      ['train', 'cancelled', run.reason],
      ['then', 'cancelled', run.reason],
    ]);
    expect(await listAttempts(postgres, { projectId, runId })).toMatchObject([{ status: 'lost' }]);
    const tracked = await postgres.query<{ status: string }>(
      'SELECT status FROM runs WHERE pipeline_run_id = $1',
      [runId],
    );
    expect(tracked).toEqual([{ status: 'KILLED' }]);
    const list = { projectId, runId, after: 0, limit: 100 };
    const said = (await listTransitions(postgres, list)).filter((t) => t.state === 'cancelled');
    expect(said).toMatchObject([
      { stepKey: 'train', attempt: 1, reason: run.reason },
      { stepKey: 'then', attempt: 0, reason: run.reason },
    ]);
  }, 60_000);

  it('ends with the parts that a large run is cut into', async () => {
    const pidFile = join(lab.steps.folder, 'large');
    const many = Array.from({ length: 900 }, (_, i) => `n${i}`);
    const { runId, terminate } = await lab.start(hanging(pidFile, many));
    await until(() => isAlive(pidIn(pidFile)));
    const parts = [0, 1, 2].map((part) => segmentWorkflowId(runId, part));
    expect(await Promise.all(parts.map(statusOf))).toEqual(['RUNNING', 'RUNNING', 'RUNNING']);
    await terminate();
    await until(() => !isAlive(pidIn(pidFile)));
    await until(async () => (await statusOf(parts[2] ?? '')) !== 'RUNNING');
    const ended = ['TERMINATED', 'TERMINATED', 'TERMINATED'];
    expect(await Promise.all(parts.map(statusOf))).toEqual(ended);
    expect(await sweep()).toEqual([runId]);
    const steps = await listSteps(lab.steps.db, { projectId, runId });
    expect(new Set(steps.map(({ status }) => status))).toEqual(new Set(['cancelled']));
    expect(steps).toHaveLength(901);
  }, 60_000);
});

describe('a run whose workflow', () => {
  it('timed out has failed', async () => {
    const runId = crypto.randomUUID();
    const pidFile = join(lab.steps.folder, 'late');
    await lab.env.client.workflow.start(RUN_PIPELINE, {
      workflowId: pipelineRunWorkflowId(runId),
      taskQueue: CONTROL_QUEUE,
      args: [{ plan: hanging(pidFile) }],
      workflowRunTimeout: '5s',
    });
    await until(async () => (await statusOf(pipelineRunWorkflowId(runId))) === 'TIMED_OUT');
    await until(() => !isAlive(pidIn(pidFile)));
    expect(await sweep()).toEqual([runId]);
    const run = await getPipelineRun(lab.steps.db, { projectId, id: runId });
    expect(run).toMatchObject({ status: 'failed', reason: 'its workflow timed out' });
  }, 60_000);

  it('is unknown to Temporal has failed', async () => {
    const { runId } = await lab.steps.begin(plan([step('train')]));
    expect(await sweep()).toEqual([runId]);
    const run = await getPipelineRun(lab.steps.db, { projectId, id: runId });
    const reason = 'its workflow is gone: Temporal does not know it';
    expect(run).toMatchObject({ status: 'failed', reason });
  });

  it('has the id of the run itself stays open, and is cancelled when asked', async () => {
    const runId = crypto.randomUUID();
    const pidFile = join(lab.steps.folder, 'own-id');
    const handle = await lab.env.client.workflow.start(RUN_PIPELINE, {
      workflowId: runId,
      taskQueue: CONTROL_QUEUE,
      args: [{ plan: hanging(pidFile) }],
    });
    await until(() => isAlive(pidIn(pidFile)));
    expect(await sweep()).toEqual([]);
    expect(await starter.cancelPipelineRun(runId)).toBe('asked');
    expect(await handle.result()).toMatchObject({ status: 'cancelled' });
  }, 60_000);

  it('nobody can be asked about stays as it is', async () => {
    const { runId } = await lab.steps.begin(plan([step('train')]));
    const deps = {
      ...lab.steps.db,
      findEndedWorkflows: lab.steps.parts.starter.findEndedWorkflows,
    };
    const sweeping = sweepRuns(deps, { after: '', ageSeconds: 0 }); // nobody listens there
    await expect(sweeping).rejects.toMatchObject({ code: 'TEMPORAL_UNAVAILABLE' });
    const run = await getPipelineRun(lab.steps.db, { projectId, id: runId });
    expect(run.endedAt).toBeNull();
    expect(await sweep()).toEqual([runId]);
  });
});

describe('the janitor', () => {
  it('does nothing while another one is at it', async () => {
    const { runId } = await lab.steps.begin(plan([step('train')]));
    await tryLock(lab.steps.db.postgres, 'janitor', async () => {
      expect(await sweep()).toEqual([]);
    });
    expect(await sweep()).toEqual([runId]);
  });

  it('goes on in the next round where it stopped', async () => {
    const { postgres } = lab.steps.db;
    const { runId } = await lab.steps.begin(plan([step('train')]));
    const values = [runId, 'many-'];
    await postgres.query(
      `INSERT INTO pipeline_runs (project_id, id, plan_id, pipeline, params, status)
       SELECT project_id, $2 || lpad(n::text, 5, '0'), plan_id, pipeline, params, status
       FROM pipeline_runs, generate_series(1, 1100) n WHERE id = $1`,
      values,
    );
    const asked: string[] = [];
    const findEndedWorkflows = (
      ids: readonly string[],
    ): Promise<ReadonlyMap<string, WorkflowEnd>> => {
      asked.push(...ids);
      return Promise.resolve(new Map());
    };
    const deps = { postgres, findEndedWorkflows };
    const first = await sweepRuns(deps, { after: 'many-', ageSeconds: 0 });
    expect(asked).toHaveLength(1_000);
    expect(first.next).toBe('many-01000');
    const second = await sweepRuns(deps, { after: first.next, ageSeconds: 0 });
    expect(second.next).toBe('');
    expect(new Set(asked.filter((id) => id.startsWith('many-'))).size).toBe(1_100);
    await postgres.query('UPDATE pipeline_runs SET ended_at = now() WHERE id LIKE $1', ['many-%']);
  });
});
