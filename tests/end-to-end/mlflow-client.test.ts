import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startTestApi } from '../support/api';
import type { TestApi } from '../support/api';

const ROOT = join(__dirname, '..', '..');
const PYTHON = join(ROOT, '.venv', 'bin', 'python');
let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

function run(script: string): Promise<{ stdout: string }> {
  return promisify(execFile)(PYTHON, [join(ROOT, script)], {
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

  it('runs the ten lines of the example', async () => {
    const { stdout } = await run('examples/00-log-a-run/log_a_run.py');
    expect(stdout).toContain('logged run ');
  });
});
