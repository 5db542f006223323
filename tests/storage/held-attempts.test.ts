import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { recordControl } from '../../pipelines/run-controls';
import { createRunBuiltin } from '../../pipelines/steps';
import type { AttemptTicket } from '../../schemas/attempts';
import type { StepSpec } from '../../schemas/plan';
import { createHttp, type Http } from '../../sdk/http';
import { listAudit } from '../../storage/postgres/audit';
import { plan, step } from '../support/plans';
import { openStepLab, type StepLab } from '../support/step-lab';

let lab: StepLab;
let node: Http;
beforeAll(async () => {
  lab = await openStepLab();
  node = createHttp({ baseUrl: lab.node.api, token: lab.node.token, retries: 0 });
});
afterAll(() => lab.close());

async function newRun(extra: Partial<StepSpec> = {}): Promise<string> {
  return (await lab.begin(plan([step('train', extra)]))).runId;
}
function begin(runId: string, attempt = 1): Promise<AttemptTicket> {
  return node.post('/api/v1/attempts', { runId, stepKey: 'train', attempt, node: 'n1' });
}
const value: Partial<StepSpec> = { outputs: { n: { value: true } } };
/** What the workflow of a run writes when somebody steers it. */
async function pause(isPaused: boolean, ...runIds: string[]): Promise<void> {
  const action = isPaused ? 'pause' : 'continue';
  for (const runId of runIds) {
    const control = { action, actor: 'ada', reason: '' } as const;
    atMs += 1;
    await recordControl(lab.parts, { projectId: 'default', runId, control, atMs });
  }
}
let atMs = 1_700_000_000_000;

describe('the begin of an attempt', () => {
  it('is refused while the run is paused; what has begun goes on, and a step that has ended is no begin', async () => {
    const [runId, done] = [await newRun(), await newRun(value)];
    const { token } = await begin(done);
    const self = createHttp({ baseUrl: lab.node.api, token, retries: 0 });
    await self.post('/api/v1/attempts/self/commit', { artifacts: {}, values: { n: 1 } });
    await begin(runId);
    await pause(true, runId, done);
    expect((await begin(runId)).committed).toBeNull();
    await expect(begin(runId, 2)).rejects.toMatchObject({ code: 'RUN_PAUSED' });
    expect((await begin(done, 2)).committed).toEqual({ n: { value: 1 } });
    expect((await lab.attempts(runId)).map(({ attempt }) => attempt)).toEqual([1]);
    await pause(false, runId);
    expect((await begin(runId, 2)).committed).toBeNull();
  });
});

describe('what a run has taken', () => {
  const of = async (runId: string): Promise<[boolean, number]> => {
    const run = await getPipelineRun(lab.parts, { projectId: 'default', id: runId });
    return [run.isPaused, run.priority];
  };
  const write = (runId: string, control: Asked, at: number): Promise<void> => {
    const asked = { ...control, actor: 'ada', reason: '' };
    return recordControl(lab.parts, { projectId: 'default', runId, control: asked, atMs: at });
  };
  type Asked =
    | { readonly action: 'pause' | 'continue' }
    | { readonly action: 'priority'; readonly priority: number };

  it('is what came last, also if an older change is written again', async () => {
    const runId = await newRun();
    const start = 1_700_000_000_000;
    await write(runId, { action: 'pause' }, start);
    await write(runId, { action: 'priority', priority: 1 }, start + 1);
    expect(await of(runId)).toEqual([true, 1]);
    await write(runId, { action: 'continue' }, start + 2);
    await write(runId, { action: 'pause' }, start);
    await write(runId, { action: 'continue' }, start + 2);
    expect(await of(runId)).toEqual([false, 1]);
    const wanted = { projectId: 'default', subject: `pipeline-run/${runId}`, limit: 9 };
    const audit = await listAudit(lab.parts.postgres, wanted);
    expect(audit.map(({ action }) => action)).toEqual([
      'pipeline-run.continue',
      'pipeline-run.priority',
      'pipeline-run.pause',
    ]);
  });

  it('holds built-in steps, too', async () => {
    const { runId } = await lab.begin(plan([step('train', { uses: 'builtin/nothing' })]));
    const { postgres } = lab.parts;
    const run = createRunBuiltin({
      postgres,
      registerModel: () => Promise.reject(new Error('nobody registers here')),
      sendNotification: () => Promise.reject(new Error('nobody sends here')),
    });
    const input = { projectId: 'default', runId, stepKey: 'train', attempt: 1, readyAtMs: 1 };
    const asked = { ...input, timeoutSeconds: 1, graceSeconds: 1 };
    await pause(true, runId);
    await expect(run(asked)).rejects.toMatchObject({ code: 'RUN_PAUSED' });
    await pause(false, runId);
    await run(asked);
    expect(await lab.attempts(runId)).toMatchObject([{ status: 'succeeded' }]);
  });
});
