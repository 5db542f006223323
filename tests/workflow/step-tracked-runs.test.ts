import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStarter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { cancelPipelineRun } from '../../pipelines/run-controls';
import type { Step } from '../../schemas/pipeline-runs';
import type { StepSpec } from '../../schemas/plan';
import { packCode, uploadCode } from '../../sdk/code-bundle';
import { plan, step } from '../support/plans';
import { until } from '../support/step-lab';
import { openWorkerLab, type StartedOnWorkers, type WorkerLab } from '../support/worker-lab';

let lab: WorkerLab;
beforeAll(async () => {
  lab = await openWorkerLab();
});
afterAll(() => lab.close());

/** `node track.mjs DO…` does one thing after the other, as a script with MLflow would. */
const TRACK = `
  import { existsSync, writeFileSync } from 'node:fs';
  const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token, ANNEAL_ATTEMPT: attempt } = process.env;
  const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' };
  const post = async (path, body) => {
    const url = uri + '/api/2.0/mlflow/' + path;
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  let run;
  const create = async (tags) =>
    (await post('runs/create', { experiment_id: '0', start_time: Date.now(), tags })).run.info.run_id;
  const does = {
    injected: () => { run = process.env.MLFLOW_RUN_ID; },
    run: async () => { run = await create([]); },
    nested: async () => { await create([{ key: 'mlflow.parentRunId', value: run }]); },
    end: (status) => post('runs/update', { run_id: run, status, end_time: 1_700_000_000_000 }),
    exit: (code) => process.exit(Number(code)),
    die: () => process.kill(process.pid, 'SIGKILL'),
    wait: async (file) => {
      writeFileSync(file + '.waits-' + attempt, '');
      while (!existsSync(file)) await new Promise((done) => setTimeout(done, 20));
    },
  };
  for (const todo of process.argv.slice(2)) {
    const [what, only = attempt] = todo.split('@'); // 'die@1': in the first attempt only
    const [verb, argument] = what.split('=');
    if (only === attempt) await does[verb](argument);
  }`;

let codeDigest: string | undefined;
async function start(todo: string[], extra: Partial<StepSpec> = {}): Promise<StartedOnWorkers> {
  if (codeDigest === undefined) {
    const project = mkdtempSync(join(lab.steps.folder, 'track-'));
    writeFileSync(join(project, 'track.mjs'), TRACK);
    const packed = await packCode(project);
    await uploadCode(lab.steps.user, packed);
    codeDigest = packed.digest;
  }
  const argv = ['node', 'track.mjs', ...todo];
  return lab.start(plan([step('train', { argv, ...extra })]), { codeDigest });
}

interface Tracked {
  readonly id: string;
  readonly status: string;
  readonly hasEnded: boolean;
}
/** The tracked runs of a pipeline run: the top one, then the nested one. */
function trackedRuns(runId: string): Promise<Tracked[]> {
  return lab.steps.db.postgres.query(
    `SELECT id, status, ended_ms >= started_ms AS "hasEnded" FROM runs
    WHERE pipeline_run_id = $1 ORDER BY adoption_key DESC`,
    [runId],
  );
}
async function runOfStep(runId: string): Promise<string | null | undefined> {
  const { steps } = await lab.steps.user.get<{ steps: Step[] }>(
    `/api/v1/pipeline-runs/${runId}/steps`,
  );
  return steps[0]?.trackedRunId;
}
let files = 0;
function newFile(): string {
  files += 1;
  return join(lab.steps.folder, `go-${files}`);
}
const waits = (file: string, attempt: number): Promise<void> =>
  until(() => existsSync(`${file}.waits-${attempt}`));

describe('the tracked runs of a step that a worker carries out', () => {
  beforeAll(async () => {
    await lab.startWorker();
  });

  it('are finished with it', async () => {
    const { runId, result } = await start(['run', 'nested']);
    expect(await result()).toMatchObject({ status: 'succeeded' });
    const finished = { status: 'FINISHED', hasEnded: true };
    expect(await trackedRuns(runId)).toMatchObject([finished, finished]);
  });

  it('stay as the script itself has ended them', async () => {
    const { runId, result } = await start(['run', 'end=KILLED']);
    expect(await result()).toMatchObject({ status: 'succeeded' });
    // the end that the script told lies before the start
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'KILLED', hasEnded: false }]);
  });

  it('have failed if it has failed for good', async () => {
    const { runId, result } = await start(['run', 'nested', 'exit=1']);
    expect(await result()).toMatchObject({ status: 'failed' });
    const failed = { status: 'FAILED', hasEnded: true };
    expect(await trackedRuns(runId)).toMatchObject([failed, failed]);
  });

  it('go on running over a retry, as the same runs', async () => {
    const go = newFile();
    const retry = { max: 1, on: ['crash' as const] };
    const todo = ['run', `wait=${go}`, 'die@1'];
    const { runId, result } = await start(todo, { retry });
    await waits(go, 1);
    const [before] = await trackedRuns(runId);
    writeFileSync(go, '');
    expect(await result()).toMatchObject({ status: 'succeeded' });
    expect(await trackedRuns(runId)).toEqual([
      { id: before?.id, status: 'FINISHED', hasEnded: true },
    ]);
  });

  it("are each attempt's own with `adopt: new`: the step's is that of the last one", async () => {
    const retry = { max: 1, on: ['crash' as const] };
    const todo = ['run', 'run', 'die@1'];
    const { runId, result } = await start(todo, { retry, adopt: 'new' });
    expect(await result()).toMatchObject({ status: 'succeeded' });
    const runs = await trackedRuns(runId); // by attempt and number, the last one first
    expect(runs.map(({ status }) => status)).toEqual(['FINISHED', 'FINISHED', 'FAILED', 'FAILED']);
    expect(await runOfStep(runId)).toBe(runs[1]?.id);
  });

  it("are none of the step's with `adopt: off`, and its attempts write them all the same", async () => {
    const { runId, result } = await start(['run', 'end=FINISHED'], { adopt: 'off' });
    expect(await result()).toMatchObject({ status: 'succeeded' });
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'FINISHED' }]);
    expect(await runOfStep(runId)).toBeNull();
  });

  it('are there before the process with `inject_run_id`, the same one in each attempt', async () => {
    const retry = { max: 1, on: ['crash' as const] };
    const todo = ['injected', 'end=KILLED@2', 'die@1'];
    const extra = { retry, mlflow: { injectRunId: true as const } };
    const { runId, result } = await start(todo, extra);
    expect(await result()).toMatchObject({ status: 'succeeded' });
    const runs = await trackedRuns(runId);
    expect(runs).toMatchObject([{ status: 'KILLED' }]); // ended by the id that the script was given
    expect(await runOfStep(runId)).toBe(runs[0]?.id);
  });

  it('are open between two attempts', async () => {
    const go = newFile();
    const retry = { max: 1, on: ['crash' as const] };
    const { runId, result } = await start(['run@1', 'die@1', `wait=${go}`], { retry });
    await waits(go, 2);
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'RUNNING', hasEnded: null }]);
    writeFileSync(go, '');
    expect(await result()).toMatchObject({ status: 'succeeded' });
    // the second attempt never took the run up: nobody has finished it
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'FAILED', hasEnded: true }]);
  });

  it('are killed with a run that is cancelled', async () => {
    const go = newFile();
    const { runId, result, cancel } = await start(['run', `wait=${go}`]);
    await waits(go, 1);
    await cancel();
    expect(await result()).toMatchObject({ status: 'cancelled' });
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'KILLED', hasEnded: true }]);
  });
});

describe('the tracked runs of a step that nobody carries out any more', () => {
  it('are killed with a cancelled run whose worker is dead', async () => {
    const go = newFile();
    const { runId, result, cancel } = await start(['run', `wait=${go}`], { pool: 'doomed' });
    const worker = await lab.startWorker({ ANNEAL_POOLS: 'doomed' });
    await waits(go, 1);
    worker.kill('SIGKILL');
    await cancel();
    expect(await result()).toMatchObject({ status: 'cancelled' });
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'KILLED', hasEnded: true }]);
  }, 90_000);

  it('are killed, and step and attempt ended, once its terminated run is cancelled', async () => {
    const go = newFile();
    const { runId, terminate } = await start(['run', `wait=${go}`]);
    await waits(go, 1);
    await terminate();
    const starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: lab.env.address }));
    const deps = { postgres: lab.steps.db.postgres, starter };
    const ended = await cancelPipelineRun(deps, { actor: 'ada', projectId: 'default', id: runId });
    await starter.close();
    const reason = 'its workflow was ended from outside';
    expect(ended).toMatchObject({ status: 'cancelled', reason });
    expect(await trackedRuns(runId)).toMatchObject([{ status: 'KILLED', hasEnded: true }]);
    const path = `/api/v1/pipeline-runs/${runId}/steps`;
    const { steps } = await lab.steps.user.get<{ steps: Step[] }>(path);
    expect(steps).toMatchObject([{ status: 'cancelled', reason }]);
    expect(await lab.steps.attempts(runId)).toMatchObject([{ status: 'lost', reason }]);
  });
});
