import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan, StepSpec } from '../../schemas/plan';
import { plan, step } from '../support/plans';
import { artifactOf, openStepLab, runStep, until, type StepLab } from '../support/step-lab';

const HELPER = readFileSync(join(__dirname, '../../sdk/python/anneal_step.py'), 'utf8');
let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

/** Begins a step that runs a Python script beside the helper. */
async function begin(script: string, extra: Partial<StepSpec>): Promise<string> {
  const params: Plan['params'] = { lr: { type: 'number' } };
  const train = step('train', { argv: ['python3', 'train.py'], ...extra });
  const files = { 'anneal_step.py': HELPER, 'train.py': script };
  const begun = await lab.begin({ ...plan([train]), params }, { params: { lr: 0.5 }, files });
  return begun.runId;
}

describe("the helper of a step's Python", () => {
  it('reads params and writes outputs and progress', async () => {
    const script = `
import anneal_step as step
step.progress(0.5, message="half", metrics={"loss": 1})
step.output("model").write_text(str(step.params()["lr"]))
step.outputs(score=0.9)
`;
    const outputs: StepSpec['outputs'] = { model: { kind: 'model' }, score: { value: true } };
    const runId = await begin(script, { outputs });
    const outcome = await runStep(lab, runId);
    expect(outcome).toMatchObject({ result: { outputs: { score: { value: 0.9 } } } });
    const { files } = await lab.user.get<{ files: { url: string }[] }>(
      `/api/v1/artifacts/${artifactOf(outcome, 'model')}`,
    );
    expect(await (await fetch(files[0]?.url ?? '')).text()).toBe('0.5');
    const progress = { fraction: 0.5, message: 'half', metrics: { loss: 1 } };
    expect(await lab.attempts(runId)).toMatchObject([{ progress }]);
  });

  it('saves when asked to stop, and the next attempt goes on from there', async () => {
    const go = join(lab.folder, 'python-runs');
    const script = `
import os, sys, time
import anneal_step as step
before = step.resume_from()
if before is not None:
    print("resumed", (before / "n").read_text())
    sys.exit(0)
open(os.environ["GO"], "w").close()
while not step.should_stop():
    time.sleep(0.05)
with step.checkpoint("step-7") as folder:
    (folder / "n").write_text("7")
sys.exit(75)
`;
    const runId = await begin(script, { env: { GO: go } });
    const stop = until(() => existsSync(go)).then(() => 'preempted' as const);
    const failure = { failureClass: 'preempted' };
    expect(await runStep(lab, runId, { stop })).toMatchObject({ failure });
    expect(await runStep(lab, runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toContain('stdout: resumed 7');
  });
});
