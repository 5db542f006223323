import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { changeAlias } from '../../registry/model-aliases';
import { startTestApi } from '../support/api';
import type { TestApi } from '../support/api';

const ROOT = join(__dirname, '..', '..');
const PYTHON = join(ROOT, '.venv', 'bin', 'python');
let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

function run(script: string, ...args: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)(PYTHON, [join(ROOT, script), ...args], {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      MLFLOW_TRACKING_URI: api.url,
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
    expect((await run(script, 'register')).stdout).toContain('every expectation holds');
    const change = { alias: 'champion', version: 2, actor: 'ada', reason: '', idempotencyKey: 'k' };
    await changeAlias(api.database, { projectId: 'default', model: 'digits', change });
    expect((await run(script, 'read')).stdout).toContain('every expectation holds');
  });

  it('runs the ten lines of the example', async () => {
    const { stdout } = await run('examples/00-log-a-run/log_a_run.py');
    expect(stdout).toContain('logged run ');
  });
});
