import { randomUUID } from 'node:crypto';
import { decideStep } from '../../pipelines/decisions';
import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import type { Step } from '../../schemas/pipeline-runs';
import type { Plan } from '../../schemas/plan';
import { artifactOf, openStepLab, runStep, shell, type StepLab } from '../support/step-lab';

const projectId = 'default';
const node = { key: 'train', kind: 'step', index: 0, needs: [], settings: 0 } as const;
let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(() => lab.close());

async function stepOf(runId: string): Promise<Step | undefined> {
  const path = `/api/v1/pipeline-runs/${runId}/steps`;
  return (await lab.user.get<{ steps: Step[] }>(path)).steps[0];
}
/** Begins a run that takes the results of another one. */
async function resumed(plan: Plan, resumedFrom: string, codeDigest?: string): Promise<string> {
  const runId = randomUUID();
  const code = codeDigest === undefined ? {} : { codeDigest };
  await beginPipelineRun(lab.parts, { projectId, runId, plan, resumedFrom, ...code });
  return runId;
}

const TRAIN = `
  echo weights > "$ANNEAL_OUTPUT_DIR/model"
  echo '{"auc": 0.9}' > "$ANNEAL_OUTPUT_DIR/outputs.json"`;
const train = shell(TRAIN, { outputs: { model: { kind: 'model' }, auc: { value: true } } });

describe('the result of a process', () => {
  it('is taken by a resumed run, artifacts and all, and no process runs', async () => {
    const { runId } = await lab.begin(train);
    const outcome = await runStep(lab, runId);
    const next = await resumed(train, runId);
    const reason = `same content as run ${runId}, step train`;
    const verdict = await decideStep(lab.parts, { projectId, runId: next, node });
    expect(verdict).toEqual({ verdict: 'reuse', reason });
    const step = await stepOf(next);
    expect(step).toMatchObject({ status: 'succeeded', cache: { hit: true, explanation: reason } });
    expect(step?.outputs).toEqual({
      model: { artifact: artifactOf(outcome, 'model'), kind: 'model' },
      auc: { value: 0.9 },
    });
    // an attempt that begins all the same, since its order was lost, changes nothing
    expect(await runStep(lab, next)).toMatchObject({ result: { outputs: step?.outputs } });
    expect(await lab.attempts(next)).toEqual([]);
    expect(await lab.logs(next)).toEqual([]);
  });

  it('is not taken when the project has other files', async () => {
    const { runId } = await lab.begin(train, { files: { 'train.sh': 'echo 1' } });
    await runStep(lab, runId);
    const other = await lab.begin(train, { files: { 'train.sh': 'echo 2' } });
    const path = `/api/v1/pipeline-runs/${other.runId}`;
    const { codeDigest } = await lab.user.get<{ codeDigest: string }>(path);
    const next = await resumed(train, runId, codeDigest);
    const verdict = await decideStep(lab.parts, { projectId, runId: next, node });
    expect(verdict).toEqual({ verdict: 'run' });
    expect((await stepOf(next))?.cache).toMatchObject({
      hit: false,
      explanation: `differs from run ${runId}: code changed`,
    });
  });

  it('is not taken from a step that failed', async () => {
    const { runId } = await lab.begin(shell('exit 1'));
    await runStep(lab, runId);
    const next = await resumed(shell('exit 1'), runId);
    expect(await decideStep(lab.parts, { projectId, runId: next, node })).toEqual({
      verdict: 'run',
    });
  });
});
