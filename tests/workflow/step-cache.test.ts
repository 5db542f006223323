import { saveCodeFiles } from '../../pipelines/code-files';
import { forecastPipelineRun } from '../../pipelines/forecasts';
import { resumePipelineRun } from '../../pipelines/resumes';
import type { PipelineRun, Step } from '../../schemas/pipeline-runs';
import type { Params, Plan } from '../../schemas/plan';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { cachedPlan, prepareOf as prepareIn, statesOfPrepare } from '../support/cached-plans';
import {
  openWorkflowLab,
  stepFailure,
  type StepBody,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
let ran: string[]; // ids of the runs that did the work
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
beforeEach(() => {
  ran = [];
});

const works: StepBody = ({ runId }) => {
  ran.push(runId);
  return Promise.resolve({ rows: { value: ran.length } });
};
const prepareOf = (runId: string): Promise<Step> => prepareIn(lab.database, runId);
const statesOf = (runId: string): Promise<string[]> => statesOfPrepare(lab.database, runId);

describe('a step with a cache', () => {
  it('takes the result of the newest step with the same content, and says whose it is', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan();
    const first = await lab.run(pipeline);
    const second = await lab.run(pipeline);
    expect(second.status).toBe('succeeded');
    expect(ran).toEqual([first.runId]);
    expect(second.outputs['prepare']).toEqual({ rows: { value: 1 } });
    const from = { runId: first.runId, stepKey: 'prepare' };
    const explanation = `same content as run ${first.runId}, step prepare`;
    expect(await prepareOf(second.runId)).toMatchObject({
      status: 'succeeded',
      reason: explanation,
      cache: { hit: true, from, explanation },
    });
    expect(await statesOf(second.runId)).toEqual(['cached']);
    expect(await statesOf(first.runId)).toEqual(['ready', 'started', 'succeeded']);
    expect((await prepareOf(first.runId)).cache).toMatchObject({
      hit: false,
      explanation: `no result: no step prepare of ${pipeline.name} has succeeded before`,
    });
  });

  it('does its work when params, code or more have changed, and says what', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan();
    const first = await lab.run(pipeline);
    const other = await lab.run(pipeline, { rows: 4 });
    const codeDigest = 'c'.repeat(64);
    const coded = await lab.start({ plan: pipeline, codeDigest });
    await coded.result();
    expect(ran).toHaveLength(3);
    expect((await prepareOf(other.runId)).cache?.explanation).toBe(
      `differs from run ${first.runId}: param rows: 3 → 4, command changed`,
    );
    const why = (await prepareOf(coded.runId)).cache?.explanation;
    expect(why).toMatch(/^differs from run .*: code changed/);
  });

  it('does its work when the result is older than its time to live', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan({ ttlSeconds: 3_600 });
    const first = await lab.run(pipeline);
    const age = (seconds: number): Promise<unknown> =>
      lab.database.postgres.query(
        'UPDATE steps SET ended_at = now() - make_interval(secs => $2) WHERE run_id = $1',
        [first.runId, seconds],
      );
    await age(3_500);
    expect((await prepareOf((await lab.run(pipeline)).runId)).cache?.hit).toBe(true);
    await age(3_700);
    const late = await prepareOf((await lab.run(pipeline)).runId);
    expect(late.cache).toMatchObject({
      hit: false,
      explanation: expect.stringMatching(
        new RegExp(
          `^expired: the result of run ${first.runId} is 37\\d\\d s old; its time to live is 3600 s$`,
        ),
      ) as string,
    });
    expect(ran).toHaveLength(2);
  });

  it('finds nothing without a cache, of a failed step, or of another value in its key', async () => {
    lab.bodies = { prepare: works };
    const bare = cachedPlan(null);
    const withCache: Plan = {
      ...bare,
      steps: bare.steps.map((one) => (one.name === 'prepare' ? { ...one, cache: {} } : one)),
    };
    const keyed: Plan = {
      ...bare,
      steps: bare.steps.map((one) =>
        one.name === 'prepare' ? { ...one, cache: { values: ['params.rows * 2'] } } : one,
      ),
    };
    lab.bodies['prepare'] = () => Promise.reject(stepFailure('data', 'no rows'));
    expect((await lab.run(withCache)).status).toBe('failed');
    lab.bodies['prepare'] = works;
    await lab.run(bare);
    await lab.run(bare);
    expect(ran).toHaveLength(2);
    const hit = await lab.run(withCache);
    expect((await prepareOf(hit.runId)).cache?.from?.runId).toBe(ran[1]);
    const miss = await lab.run(keyed);
    expect((await prepareOf(miss.runId)).cache?.explanation).toContain(
      'key params.rows * 2 is new',
    );
    expect(ran).toHaveLength(3);
  });

  it('is told before what would become of it', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan({ ttlSeconds: 3_600 });
    const forecast = async (params: Params = {}): Promise<Record<string, string>> => {
      const start = { plan: pipeline, params };
      const steps = await forecastPipelineRun(lab.parts, { projectId, start });
      return Object.fromEntries(steps.map((s) => [s.key, `${s.outcome}: ${s.reason}`]));
    };
    const none = `run: no result: no step prepare of ${pipeline.name} has succeeded before`;
    const use = 'unknown: depends on what prepare gives';
    expect(await forecast()).toEqual({ prepare: none, use });
    const { runId } = await lab.run(pipeline);
    const same = `reuse: same content as run ${runId}, step prepare`;
    expect(await forecast()).toEqual({ prepare: same, use: 'run: it has no cache' });
    const differs = `run: differs from run ${runId}: param rows: 3 → 4, command changed`;
    expect(await forecast({ rows: 4 })).toEqual({ prepare: differs, use });
    await expect(forecast({ rwos: 4 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(ran).toEqual([runId]);
    // a run that failed before the step has nothing to give: its cache is asked
    const resumed = await lab.run(pipeline, { rows: 4 });
    const deps = lab.parts;
    const resume = { params: { rows: 3 }, dryRun: true };
    const answer = await resumePipelineRun(deps, { projectId, id: resumed.runId, resume });
    expect(answer).toMatchObject({ steps: [{ key: 'prepare', outcome: 'reuse' }, {}] });
  });

  it('counts of its code only the files that its key names', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan({ files: ['src/**', './prepare.py'] });
    const digest = (digit: string): string => digit.repeat(64);
    const save = (code: string, files: Record<string, string>): Promise<void> =>
      saveCodeFiles(lab.database, { projectId, save: { codeDigest: digest(code), files } });
    const files = { 'src/a.py': digest('1'), 'prepare.py': digest('2'), 'readme.md': digest('3') };
    await save('a', files);
    await save('b', { ...files, 'readme.md': digest('4') });
    await save('c', { ...files, 'src/deep/b.py': digest('5') });
    await save('d', { 'src/a.py': digest('1') });
    const run = async (code: string): Promise<Step> => {
      const started = await lab.start({ plan: pipeline, codeDigest: digest(code) });
      await started.result();
      return prepareOf(started.runId);
    };
    expect((await run('a')).cache?.hit).toBe(false);
    expect((await run('b')).cache?.hit).toBe(true);
    expect((await run('c')).cache?.explanation).toMatch(/^differs from run .*: files changed$/);
    // a pattern that fits nothing, and code of which nobody has said what it holds: all of it counts
    expect((await run('d')).cache?.explanation).toMatch(/: code is new, files is gone$/);
    expect((await run('e')).cache?.hit).toBe(false);
    expect((await run('f')).cache?.hit).toBe(false);
    expect((await run('f')).cache?.hit).toBe(true);
    expect(ran).toHaveLength(5);
  });

  it('runs again when whoever resumes a run asks for it', async () => {
    lab.bodies = { prepare: works };
    const pipeline = cachedPlan();
    const first = await lab.run(pipeline);
    const deps = lab.parts;
    const resume = { params: {}, dryRun: false, from: 'prepare' };
    const again = await resumePipelineRun(deps, { projectId, id: first.runId, resume });
    const { id } = again as PipelineRun;
    await lab.env.client.workflow.getHandle(pipelineRunWorkflowId(id)).result();
    expect(ran).toEqual([first.runId, id]);
    expect((await prepareOf(id)).cache?.explanation).toBe('it was asked to run again');
  });
});
