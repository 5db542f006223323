import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli, type Ended } from '../support/cli';
import { buildOnce, eventually, startDev, type DevProcess } from '../support/dev-stack';

const NIGHTLY = `version: 1
name: nightly
on: { schedule: { cron: "0 3 1 1 *", timezone: Asia/Tokyo } }
params: { word: none }
steps: { say: { run: 'echo \${{ params.word }}' } }
`;
let folder: string;
let dev: DevProcess;
let api: string;

jest.setTimeout(120_000);
beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-e2e-deploy-'));
  mkdirSync(join(folder, 'project'));
  writeFileSync(join(folder, 'project/nightly.yaml'), NIGHTLY);
  dev = startDev(['--ephemeral', '--port', '0']);
  ({ api } = await dev.ready);
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(folder, { recursive: true, force: true });
});

function anneal(...args: string[]): Promise<Ended> {
  return runCli(args, { cwd: join(folder, 'project'), env: { ANNEAL_API: api } });
}
async function runsOf(pipeline: string): Promise<{ id: string; status: string }[]> {
  const { stdout } = await anneal('run', 'ls', '--pipeline', pipeline, '-o', 'json');
  return JSON.parse(stdout) as { id: string; status: string }[];
}

describe('anneal pipeline deploy', () => {
  it('stores a version, says what differs, and what is there', async () => {
    const dry = await anneal('pipeline', 'deploy', 'nightly.yaml', '--dry-run');
    expect(dry).toMatchObject({ code: 0, stdout: '' });
    expect((await anneal('pipeline', 'show', 'nightly')).code).toBe(3);
    const first = await anneal('pipeline', 'deploy', 'nightly.yaml', '-p', 'word=moon');
    expect(first).toMatchObject({ code: 0, stdout: 'nightly version 1\n' });
    expect(first.stderr).toContain('new\n+ schedule 0 3 1 1 * (Asia/Tokyo)\n');
    const same = await anneal('pipeline', 'deploy', 'nightly.yaml', '-p', 'word=moon');
    expect(same).toMatchObject({ code: 0, stdout: 'nightly version 1\n' });
    expect(same.stderr).toContain('Nothing has changed since version 1.');
    const other = await anneal('pipeline', 'deploy', 'nightly.yaml', '-p', 'word=sun');
    expect(other.stderr).toContain('param word: "moon" → "sun"\n');
    const { stdout } = await anneal('pipeline', 'ls');
    expect(stdout).toMatch(/^NAME +VERSION +DEPLOYED +BY +LAST RUN +STARTED BY\nnightly +2 /);
    const shown = await anneal('pipeline', 'show', 'nightly');
    expect(shown.stderr).toMatch(
      /^nightly version 2, word="sun"\non schedule .*\nnext: .*-12-31T18:/,
    );
    expect(shown.stdout).toMatch(/^VERSION +DEPLOYED +BY +COMMIT +PLAN\n2 .*\n1 .*\n$/);
  });

  it('has its mistakes named before anything is sent', async () => {
    const wrong = await anneal('pipeline', 'deploy', 'nightly.yaml', '-p', 'wrod=x');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("Did you mean 'word'?");
    expect((await anneal('pipeline', 'delete', 'nobody')).code).toBe(3);
  });

  it('makes a schedule that starts runs, and that ends with it', async () => {
    expect((await anneal('schedule', 'trigger', 'nightly')).code).toBe(0);
    await eventually('a run', async () => (await runsOf('nightly'))[0]?.status === 'succeeded');
    const [run] = await runsOf('nightly');
    const shown = await anneal('run', 'show', run?.id ?? '');
    expect(shown.stderr).toContain('Started by schedule nightly (nightly version 2)');
    const logs = await anneal('run', 'logs', run?.id ?? '');
    expect(logs.stdout).toContain('sun');
    expect((await anneal('schedule', 'delete', 'nightly')).code).toBe(7);
    expect((await anneal('pipeline', 'delete', 'nightly')).code).toBe(0);
    expect((await anneal('schedule', 'show', 'nightly')).code).toBe(3);
  });
});

describe('a webhook', () => {
  it('is told with its token, starts runs, and gets another token', async () => {
    const on = 'on: { webhook: { params: { word: body.word } } }';
    const file = NIGHTLY.replace(/^on: .*$/m, on).replace('nightly', 'hooked');
    writeFileSync(join(folder, 'project/hooked.yaml'), file);
    const { code, stderr } = await anneal('pipeline', 'deploy', 'hooked.yaml');
    expect(code).toBe(0);
    const [, url = ''] = /POST (\S+)/.exec(stderr) ?? [];
    const [, token = ''] = /Bearer (\S+)/.exec(stderr) ?? [];
    expect(url).toBe(`${api}/api/v1/hooks/hooked`);
    const call = async (text: string): Promise<number> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${text}` };
      const body = JSON.stringify({ word: 'called' });
      return (await fetch(url, { method: 'POST', headers, body })).status;
    };
    expect(await call(token)).toBe(202);
    await eventually('a run', async () => (await runsOf('hooked'))[0]?.status === 'succeeded');
    const [run] = await runsOf('hooked');
    expect((await anneal('run', 'logs', run?.id ?? '')).stdout).toContain('called');
    const shown = await anneal('run', 'show', run?.id ?? '');
    expect(shown.stderr).toContain('Started by webhook hooked (hooked version 1)');
    expect((await anneal('pipeline', 'show', 'hooked')).stderr).toContain(`webhook: POST ${url}`);
    const renewed = await anneal('pipeline', 'hook-token', 'hooked', '-o', 'json');
    expect(await call(token)).toBe(401);
    expect(await call((JSON.parse(renewed.stdout) as { token: string }).token)).toBe(202);
    const forbidden = await anneal('run', 'ls', '--token', token);
    expect([forbidden.code, forbidden.stderr]).toEqual([4, expect.stringContaining('revoked')]);
  });
});

describe('what a run leaves behind', () => {
  it('starts runs of the pipelines that listen to it', async () => {
    const files = {
      'make.yaml': `version: 1
name: make
params: { text: one }
steps:
  prepare:
    run: echo \${{ params.text }} > "$ANNEAL_OUTPUT_DIR/table"
    outputs: { table: dataset }
    cache: true
  train:
    inputs: { table: steps.prepare.outputs.table }
    run: echo weights > "$ANNEAL_OUTPUT_DIR/model"
    outputs: { model: model }
  register:
    uses: builtin/register-model
    inputs: { model: steps.train.outputs.model }
    with: { name: numbers }
`,
      'on-data.yaml': `version: 1
name: on-data
on: { dataset: { pipeline: make, step: prepare, output: table, params: { run: event.run } } }
params: { run: none }
steps: { say: { run: 'echo data of \${{ params.run }}' } }
`,
      'on-model.yaml': `version: 1
name: on-model
on: { model: { name: numbers, params: { version: event.version } } }
params: { version: 0 }
steps: { say: { run: 'echo version \${{ params.version }}' } }
`,
    };
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(folder, 'project', name), text);
      const { code, stderr } = await anneal('pipeline', 'deploy', name);
      expect([name, code, code === 0 ? '' : stderr]).toEqual([name, 0, '']);
    }
    const make = async (text: string): Promise<string> => {
      const { stdout } = await anneal('run', 'start', 'make.yaml', '-p', `text=${text}`);
      const id = stdout.trim();
      expect((await anneal('run', 'logs', id, '--follow')).code).toBe(0);
      return id;
    };
    const hasRuns = async (pipeline: string, count: number): Promise<boolean> => {
      const runs = await runsOf(pipeline);
      return runs.length === count && runs.every(({ status }) => status === 'succeeded');
    };
    const first = await make('one');
    await eventually('a run for the dataset', () => hasRuns('on-data', 1));
    await eventually('a run for the version', () => hasRuns('on-model', 1));
    const logs = await anneal('run', 'logs', (await runsOf('on-data'))[0]?.id ?? '');
    expect(logs.stdout).toContain(`data of ${first}`);
    await make('one'); // the same table, from the cache, and a version more
    await make('two');
    await eventually('runs for three versions', () => hasRuns('on-model', 3));
    await eventually('runs for two datasets', () => hasRuns('on-data', 2));
    const shown = await anneal('run', 'show', (await runsOf('on-model'))[0]?.id ?? '');
    expect(shown.stderr).toContain('Started by model numbers v3 (on-model version 1)');
    expect((await anneal('pipeline', 'ls')).stdout).toMatch(/on-data .* succeeded .*dataset make/);
  });
});

describe('anneal schedule', () => {
  it('creates, lists, shows, holds, triggers, backfills and deletes', async () => {
    const create = ['schedule', 'create', 'nightly.yaml', '--name', 'by-hand', '-p', 'word=x'];
    const two = await anneal(...create, '--cron', '@daily', '--every', '60');
    expect([two.code, two.stderr]).toEqual([2, expect.stringContaining('one of the two')]);
    const made = await anneal(...create, '--cron', '0 3 * * *', '--note', 'mine', '--paused');
    expect(made).toMatchObject({ code: 0, stdout: 'by-hand\n' });
    const listed = await anneal('schedule', 'ls');
    expect(listed.stdout).toMatch(/by-hand +0 3 \* \* \* \(UTC\) +paused .* nightly\n/);
    expect((await anneal('schedule', 'unpause', 'by-hand')).stderr).toContain('by-hand is active.');
    expect((await anneal('schedule', 'pause', 'by-hand')).stderr).toContain('by-hand is paused.');
    expect((await anneal('schedule', 'trigger', 'by-hand')).code).toBe(0);
    const times = ['--from', '2026-01-01T00:00:00Z', '--to', '2026-01-03T00:00:00Z'];
    const filled = await anneal('schedule', 'backfill', 'by-hand', ...times);
    expect(filled.stderr).toContain('2 runs of by-hand begin.');
    const ended = async (): Promise<boolean> => {
      const own = (await runsOf('nightly')).filter(({ id }) => id.startsWith('by-hand-'));
      return own.length === 3 && own.every(({ status }) => status === 'succeeded');
    };
    await eventually('three runs', ended);
    const shown = await anneal('schedule', 'show', 'by-hand', '-o', 'json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ name: 'by-hand', isPaused: true });
    expect((await anneal('schedule', 'delete', 'by-hand')).code).toBe(0);
    expect((await anneal('schedule', 'show', 'by-hand')).code).toBe(3);
  });
});
