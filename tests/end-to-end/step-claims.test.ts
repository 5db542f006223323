import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadyStack } from '../../dev/main';
import type { PipelineRun, Step } from '../../schemas/pipeline-runs';
import { runCli } from '../support/cli';
import { buildOnce, eventually, startDev, type DevProcess } from '../support/dev-stack';

let folder: string;
let dev: DevProcess;
let stack: ReadyStack;

jest.setTimeout(180_000);
beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-e2e-claims-'));
  dev = startDev(['--ephemeral', '--port', '0']);
  stack = await dev.ready;
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<string> {
  const file = join(folder, 'code', 'pipeline.yaml');
  const env = { ANNEAL_API: stack.api };
  const { stdout } = await runCli(['run', 'start', file], { cwd: folder, env });
  return stdout.trim();
}
async function get<T>(path: string): Promise<T> {
  return (await (await fetch(`${stack.api}/api/v1/pipeline-runs/${path}`)).json()) as T;
}
async function workOf(id: string): Promise<Partial<Step> | undefined> {
  return (await get<{ steps?: Step[] }>(`${id}/steps`)).steps?.[0];
}
function endOf(id: string): Promise<void> {
  return eventually(`the run ${id} succeeds`, async () => {
    const { status } = await get<PipelineRun>(id);
    if (status === 'failed') throw new Error(JSON.stringify(await workOf(id)));
    return status === 'succeeded';
  });
}

describe('two runs of a step with a cache', () => {
  it('do the work once though the control worker and the node at work are killed', async () => {
    const done = join(folder, 'done');
    const may = join(folder, 'may-end');
    const code = join(folder, 'code');
    mkdirSync(code);
    const command = `until [ -e ${may} ]; do sleep 0.1; done; echo done >> ${done}`;
    writeFileSync(
      join(code, 'pipeline.yaml'),
      `version: 1\nname: slow\nsteps: { work: { run: '${command}', cache: true } }\n`,
    );
    const first = await start();
    await eventually(
      'the first is at work',
      async () => (await workOf(first))?.status === 'running',
    );
    const second = await start();
    await eventually('the second waits', async () => {
      const work = await workOf(second);
      return (
        work?.reason ===
        `the same work is under way in run ${first}, step work: waiting for its result`
      );
    });
    process.kill(stack.pids['control'] ?? 0, 'SIGKILL');
    process.kill(stack.pids['step'] ?? 0, 'SIGKILL');
    await eventually('the first is tried again', async () => {
      const { attempts } = await get<{ attempts: { status: string }[] }>(`${first}/attempts`);
      return attempts.map(({ status }) => status).join() === 'lost,running';
    });
    expect(await workOf(second)).toMatchObject({ status: 'waiting', cache: { hit: false } });
    writeFileSync(may, '');
    await endOf(first);
    await endOf(second);
    expect(readFileSync(done, 'utf8')).toBe('done\n');
    expect((await workOf(second))?.cache?.from).toEqual({ runId: first, stepKey: 'work' });
  });
});
