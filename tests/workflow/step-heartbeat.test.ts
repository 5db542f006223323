import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Step } from '../../schemas/pipeline-runs';
import { Liveness } from '../../steps/liveness';
import { extendStep, openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

type Source = 'logs' | 'metrics' | 'status';
/** Begins a step with a heartbeat. */
async function begin(script: string, heartbeat: object): Promise<string> {
  const { runId } = await lab.begin(shell(script));
  await extendStep(lab, runId, { heartbeat });
  return runId;
}
/** Logs one metric at the step $i. */
const LOG_METRIC = `
  const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token } = process.env;
  const post = async (path, body) =>
    (await fetch(uri + '/api/2.0/mlflow/runs/' + path, {
      method: 'POST', body: JSON.stringify(body),
      headers: { authorization: 'Bearer ' + token, 'content-type': 'application/json' },
    })).json();
  const { run } = await post('create', { experiment_id: '0' });
  for (let step = 0; step < 14; step += 1) {
    await post('log-metric', { run_id: run.info.run_id, key: 'loss', value: 1, timestamp: 1, step });
    await new Promise((resolve) => setTimeout(resolve, 200));
  }`;

describe('a step that has promised a heartbeat', () => {
  it.each<[string, readonly Source[]]>([
    ['exec sleep 60', ['logs', 'metrics', 'status']],
    ['while :; do echo on; sleep 0.1; done', ['status']],
    ['while :; do echo 1 > "$ANNEAL_STATUS_FILE"; sleep 0.1; done', ['logs']],
  ])('is ended when it breaks it, by its own fault: %s', async (script, from) => {
    const runId = await begin(script, { timeoutSeconds: 1, from });
    const reason = `it gave no sign of life (${from.join(', ')}) for 1 s`;
    const failure = { failureClass: 'timeout', reason };
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'failed', failure });
    expect(await lab.attempts(runId)).toMatchObject([failure]);
  });

  it.each<[string, Source, string]>([
    ['lines', 'logs', 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.4; done'],
    [
      'its status file',
      'status',
      `for i in 1 2 3 4 5 6 7 8; do echo "{\\"progress\\": 0.$i}" > s; mv s "$ANNEAL_STATUS_FILE"; sleep 0.4; done`,
    ],
    ['metrics', 'metrics', `node --input-type=module -e "${LOG_METRIC}"`],
  ])('lives by %s', async (...[, source, script]) => {
    const timeoutSeconds = source === 'status' ? 3 : 1; // looked at every two seconds
    const runId = await begin(script, { timeoutSeconds, from: [source] });
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
  });
});

describe('a step that has promised nothing', () => {
  it('is said to be alive but stalled, at its attempt and as its reason, until it speaks', async () => {
    const go = join(lab.folder, 'speak');
    const script = `echo begun; while [ ! -e ${go} ]; do sleep 0.05; done; echo on; touch ${go}.on; exec sleep 60`;
    const { runId } = await lab.begin(shell(script));
    let stop: (cause: 'cancelled') => void = () => undefined;
    const stopped = new Promise<'cancelled'>((resolve) => (stop = resolve));
    const node = { ...lab.node, stallMs: 600 };
    const outcome = runStep({ ...lab, node }, runId, { stop: stopped, graceSeconds: 1 });
    const stepNow = async (): Promise<Step | undefined> =>
      (await lab.user.get<{ steps: Step[] }>(`/api/v1/pipeline-runs/${runId}/steps`)).steps[0];
    await until(async () => (await stepNow())?.progress?.stalledSince !== undefined);
    const since = (await stepNow())?.progress?.stalledSince ?? '';
    expect(await stepNow()).toMatchObject({
      status: 'running',
      reason: `alive but stalled since ${since}: no log line, metric or status`,
    });
    writeFileSync(go, '');
    await until(() => existsSync(`${go}.on`));
    await until(async () => (await stepNow())?.progress?.stalledSince !== since);
    stop('cancelled');
    await outcome;
    expect(await lab.logs(runId)).toContain(`anneal: alive but stalled since ${since}`);
  });
});

describe('metrics that cannot be asked for', () => {
  it('count as a sign of life: an api that is down ends no training', async () => {
    let asked = 0;
    const said: string[] = [];
    const liveness = new Liveness({
      heartbeat: { timeoutSeconds: 1, from: ['metrics'] },
      readMetrics: () => Promise.reject(new Error(`down ${(asked += 1)}`)),
      stalled: () => undefined,
    });
    liveness.start((what) => said.push(what));
    await until(() => asked >= 4);
    liveness.stop();
    expect(said).toEqual([]);
  });
});
