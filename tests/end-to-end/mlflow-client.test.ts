import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createToken } from '../../api/auth/tokens';
import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import { changeAlias } from '../../registry/model-aliases';
import { insertToken } from '../../storage/postgres/tokens';
import { startTestApi } from '../support/api';
import type { TestApi } from '../support/api';
import { plan, step } from '../support/plans';
import { putRun } from '../support/registry';

const ROOT = join(__dirname, '..', '..');
const PYTHON = join(ROOT, '.venv', 'bin', 'python');
let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

function run(
  script: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ stdout: string }> {
  return promisify(execFile)(PYTHON, [join(ROOT, script), ...args], {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      MLFLOW_TRACKING_URI: api.url,
      ...env,
      MLFLOW_HTTP_REQUEST_MAX_RETRIES: '0', // a failure must show, not be hidden by a repetition
    },
  });
}

describe('the unmodified MLflow client', () => {
  it('logs and reads back everything as it was logged', async () => {
    const { stdout } = await run('tests/support/mlflow_client.py');
    expect(stdout).toContain('every expectation holds');
  });

  it('downloads a version as it was registered, by number and alias, whatever its run has now', async () => {
    const script = 'tests/support/mlflow_models.py';
    expect((await run(script, ['register'])).stdout).toContain('every expectation holds');
    const change = { alias: 'champion', version: 2, actor: 'ada', reason: '', idempotencyKey: 'k' };
    await changeAlias(api.database, { projectId: 'default', model: 'digits', change });
    expect((await run(script, ['read'])).stdout).toContain('every expectation holds');
  });

  it("tracks with a step's token as ever, and writes nothing of anybody else's", async () => {
    const { postgres } = api.database;
    const begun = { projectId: 'default', runId: 'pipeline-run', plan: plan([step('train')]) };
    await beginPipelineRun(api.database, begun);
    await postgres.query(`INSERT INTO attempts (project_id, run_id, step_key, attempt, node, status)
      VALUES ('default', 'pipeline-run', 'train', 1, 'here', 'running')`);
    const { text, hash } = createToken('attempt');
    const attempt = { runId: 'pipeline-run', stepKey: 'train', attempt: 1 };
    const row = { projectId: 'default', kind: 'attempt', hash, name: 'train' } as const;
    await insertToken(postgres, { ...row, permissions: [], attempt });
    await putRun(postgres, 'f'.repeat(32));
    const env = { MLFLOW_TRACKING_TOKEN: text };
    const done = await run('tests/support/mlflow_step.py', ['f'.repeat(32)], env);
    expect(done.stdout).toContain('every expectation holds');
  });

  it('runs the ten lines of the example', async () => {
    const { stdout } = await run('examples/00-log-a-run/log_a_run.py');
    expect(stdout).toContain('logged run ');
  });
});
