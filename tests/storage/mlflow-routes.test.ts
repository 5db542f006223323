import { callHttp, type HttpReply } from '../support/http';
import { startTrackingApi, type TrackingApi } from '../support/tracking-api';

// Expected answers are those of MLflow's own server (3.17.2), asked the same.
let api: TrackingApi;
beforeAll(async () => {
  api = await startTrackingApi();
});
afterAll(() => api.close());

interface WireRun {
  readonly info: Readonly<Record<string, unknown>>;
  readonly data: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
}
const INVALID = [400, 'INVALID_PARAMETER_VALUE'];
const MISSING = [404, 'RESOURCE_DOES_NOT_EXIST'];
const TAKEN = [400, 'RESOURCE_ALREADY_EXISTS'];

const refusal = (reply: HttpReply): unknown[] => [
  reply.status,
  reply.json<{ error_code?: string }>().error_code,
];
const messageOf = (reply: HttpReply): string | undefined =>
  reply.json<{ message?: string }>().message;
const refused = async (path: string, body: unknown): Promise<unknown[]> =>
  refusal(await api.post(path, body));
const getRun = async (runId: string): Promise<WireRun> =>
  (await api.get('runs/get', { run_id: runId })).json<{ run: WireRun }>().run;

describe('experiments', () => {
  it('are created, found, renamed, deleted and restored with their runs', async () => {
    const tags = [{ key: 'team', value: 'a' }];
    const { experiment_id: id } = await api.made<{ experiment_id: string }>('experiments/create', { name: 'vision', tags }); // prettier-ignore
    const get = async (): Promise<unknown> =>
      (await api.get('experiments/get', { experiment_id: id })).json();
    const experiment = {
      experiment_id: id,
      name: 'vision',
      artifact_location: `mlflow-artifacts:/${id}`,
      lifecycle_stage: 'active',
      creation_time: expect.any(Number) as number,
      last_update_time: expect.any(Number) as number,
      tags,
    };
    expect(await get()).toEqual({ experiment });
    const byName = await api.get('experiments/get-by-name', { experiment_name: 'vision' });
    expect(byName.json()).toEqual({ experiment });
    await api.made('experiments/update', { experiment_id: id, new_name: 'sight' });
    const kept = await api.newRun(id);
    const single = await api.newRun(id);
    await api.made('runs/delete', { run_id: single });
    await api.made('experiments/delete', { experiment_id: id });
    expect(await get()).toMatchObject({
      experiment: { name: 'sight', lifecycle_stage: 'deleted' },
    });
    expect((await getRun(kept)).info['lifecycle_stage']).toBe('deleted');
    expect(await refused('experiments/delete', { experiment_id: id })).toEqual(MISSING);
    expect(await refused('experiments/create', { name: 'sight' })).toEqual(TAKEN);
    for (const [path, body] of [
      ['experiments/update', { experiment_id: id, new_name: 'other' }],
      ['experiments/set-experiment-tag', { experiment_id: id, key: 'k', value: 'v' }],
      ['runs/create', { experiment_id: id }],
      ['runs/set-tag', { run_id: kept, key: 'k', value: 'v' }],
    ] as const) {
      const reply = await api.post(path, body);
      expect(refusal(reply)).toEqual(INVALID);
      expect(messageOf(reply)).toMatch(
        /must be in the 'active' state\. Current state is deleted\./,
      );
    }
    await api.made('experiments/restore', { experiment_id: id });
    expect(await refused('experiments/restore', { experiment_id: id })).toEqual(MISSING);
    for (const run of [kept, single]) {
      expect((await getRun(run)).info['lifecycle_stage']).toBe('active'); // also the one deleted alone
    }
  });

  it('have tags that are set again and removed once', async () => {
    const id = await api.newExperiment();
    const at = { experiment_id: id, key: 'k' };
    for (const value of ['v', 'w']) {
      await api.made('experiments/set-experiment-tag', { ...at, value });
    }
    const reply = await api.get('experiments/get', { experiment_id: id });
    expect(reply.json()).toMatchObject({ experiment: { tags: [{ key: 'k', value: 'w' }] } });
    await api.made('experiments/delete-experiment-tag', at);
    expect(await refused('experiments/delete-experiment-tag', at)).toEqual(MISSING);
    const long = { ...at, value: 'x'.repeat(5001) };
    expect(await refused('experiments/set-experiment-tag', long)).toEqual(INVALID);
  });

  it('come in pages, newest first, each once', async () => {
    const made: string[] = [];
    for (let i = 0; i < 7; i += 1) made.unshift(await api.newExperiment());
    const seen: string[] = [];
    let token: string | undefined;
    do {
      const body = { max_results: 3, page_token: token, view_type: 'ACTIVE_ONLY' };
      const page = await api.made<{
        experiments: { experiment_id: string }[];
        next_page_token?: string;
      }>('experiments/search', body);
      seen.push(...page.experiments.map((experiment) => experiment.experiment_id));
      token = page.next_page_token;
    } while (token !== undefined);
    expect(seen.slice(0, 7)).toEqual(made);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toContain('0');
  });

  it('keep one name for one of them, whoever comes at once', async () => {
    const names = await Promise.all(
      Array.from({ length: 8 }, () => api.post('experiments/create', { name: 'wanted' })),
    );
    expect(names.map((reply) => reply.status).sort()).toEqual([200, ...Array<number>(7).fill(400)]);
    const ids = await Promise.all(Array.from({ length: 8 }, () => api.newExperiment()));
    const renames = await Promise.all(
      ids.map((id) => api.post('experiments/update', { experiment_id: id, new_name: 'also' })),
    );
    const failed = renames.filter((reply) => reply.status !== 200);
    expect(failed.map(refusal)).toEqual(Array(7).fill(TAKEN));
  });
});

describe('runs', () => {
  it('are created with what was given', async () => {
    const id = await api.newExperiment();
    const tags = [{ key: 'any key (at the start)', value: '1' }];
    const body = { experiment_id: id, user_id: 'u', run_name: 'n', start_time: '1234', tags };
    const { run } = await api.made<{ run: WireRun }>('runs/create', body);
    const { run_id: runId } = run.info as { run_id: string };
    expect(runId).toMatch(/^[0-9a-f]{32}$/);
    expect(run.info).toEqual({
      run_id: runId,
      run_uuid: runId,
      run_name: 'n',
      experiment_id: id,
      user_id: 'u',
      status: 'RUNNING',
      start_time: 1234,
      lifecycle_stage: 'active',
      artifact_uri: `mlflow-artifacts:/${id}/${runId}/artifacts`,
    });
    expect(run.data).toEqual({ tags: [...tags, { key: 'mlflow.runName', value: 'n' }] });
    expect(await getRun(runId)).toEqual(run);
  });

  it('have one name, in the run and in its tag', async () => {
    const tag = (value: string): object => ({ tags: [{ key: 'mlflow.runName', value }] });
    const named = async (body: object): Promise<WireRun> =>
      (await api.made<{ run: WireRun }>('runs/create', body)).run;
    const nameOf = ({ info, data }: WireRun): unknown => {
      const mirrored = data['tags']?.find((one) => one['key'] === 'mlflow.runName')?.['value'];
      expect(mirrored).toBe(info['run_name']);
      return mirrored;
    };
    const run = await named(tag('by tag'));
    expect(nameOf(run)).toBe('by tag');
    expect(nameOf(await named({}))).toMatch(/^[a-z]+-[a-z]+-\d{1,3}$/);
    expect(nameOf(await named({ run_name: '', ...tag('') }))).toMatch(/^[a-z]+-[a-z]+-\d{1,3}$/);
    expect(await refused('runs/create', { run_name: 'a', ...tag('b') })).toEqual(INVALID);
    const { run_id: runId } = run.info as { run_id: string };
    await api.made('runs/update', { run_id: runId, run_name: 'by update' });
    expect(nameOf(await getRun(runId))).toBe('by update');
    await api.made('runs/set-tag', { run_id: runId, key: 'mlflow.runName', value: 'by set-tag' });
    expect(nameOf(await getRun(runId))).toBe('by set-tag');
    await api.made('runs/set-tag', { run_id: runId, key: 'mlflow.runName', value: '' });
    expect(nameOf(await getRun(runId))).toBe('by set-tag');
  });

  it('change status, and take metrics in each', async () => {
    const runId = await api.newRun();
    for (const status of ['SCHEDULED', 'FAILED', 'KILLED', 'FINISHED', 1, 3]) {
      const reply = await api.post('runs/update', { run_id: runId, status, end_time: 99 });
      expect(reply.status).toBe(200);
      await api.made('runs/log-metric', { run_id: runId, key: 'm', value: 1, timestamp: 1 });
    }
    expect((await getRun(runId)).info).toMatchObject({ status: 'FINISHED', end_time: 99 });
    expect(await refused('runs/update', { run_id: runId, status: 'DONE' })).toEqual(INVALID);
  });

  it('are deleted and restored as often as one likes', async () => {
    const runId = await api.newRun();
    for (const path of ['runs/delete', 'runs/delete']) await api.made(path, { run_id: runId });
    const body = { run_id: runId, params: [{ key: 'p', value: '1' }] };
    expect(await refused('runs/log-batch', body)).toEqual(INVALID);
    for (const path of ['runs/restore', 'runs/restore']) await api.made(path, { run_id: runId });
    await api.made('runs/log-batch', body);
  });

  it('come in pages, newest first, also those of one millisecond', async () => {
    const ids = [await api.newExperiment(), await api.newExperiment()];
    const made: string[] = [];
    for (let i = 0; i < 9; i += 1) made.push(await api.newRun(ids[i % 2])); // all start at 1
    const gone = await api.newRun(ids[0]);
    await api.made('runs/delete', { run_id: gone });
    const walk = async (view: string): Promise<unknown[]> => {
      const seen: unknown[] = [];
      let token: string | undefined;
      do {
        const body = {
          experiment_ids: ids,
          max_results: 4,
          page_token: token,
          run_view_type: view,
        };
        const page = await api.made<{ runs: WireRun[]; next_page_token?: string }>('runs/search', body); // prettier-ignore
        seen.push(...page.runs.map((run) => run.info['run_id']));
        token = page.next_page_token;
      } while (token !== undefined);
      return seen;
    };
    expect(await walk('ACTIVE_ONLY')).toEqual([...made].sort());
    expect(await walk('DELETED_ONLY')).toEqual([gone]);
    expect(await walk('ALL')).toEqual([...made, gone].sort());
    expect(await api.made('runs/search', { experiment_ids: [] })).toEqual({});
  });
});

it('is the server that clients expect', async () => {
  const get = async (path: string): Promise<string> => (await callHttp(api.url + path)).text;
  expect(await get('/health')).toBe('OK');
  expect(await get('/version')).toMatch(/^3\.\d+\.\d+$/); // from 3.4 on clients send spans
  for (const prefix of ['/api', '/ajax-api']) {
    expect(JSON.parse(await get(`${prefix}/3.0/mlflow/server-info`))).toEqual({
      store_type: 'SqlStore',
      workspaces_enabled: false,
    });
  }
});
