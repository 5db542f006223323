import { listSteps } from '../../pipelines/step-reasons';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { Outputs } from '../../schemas/plan';
import { SHAPES } from '../graphs';
import type { Shape } from '../graphs/shape';
import { openWorkflowLab, stepFailure, type WorkflowLab } from '../support/workflow-lab';

const NAMES = Object.keys(SHAPES);
const shapes = new Map<string, Shape>();
let lab: WorkflowLab;
const results = new Map<string, Promise<{ readonly status: string }>>();

/** All shapes run in one worker at the same time; the run's id is the name of its shape. */
beforeAll(async () => {
  lab = await openWorkflowLab();
  for (const name of NAMES) {
    const shape = SHAPES[name]?.();
    if (shape !== undefined) shapes.set(name, shape);
  }
  for (const { behaviours = {} } of shapes.values()) {
    for (const key of Object.keys(behaviours)) lab.bodies[key] = behave;
  }
  for (const [name, { plan }] of shapes) {
    const run = await lab.start({ plan }, name);
    results.set(name, run.result());
  }
}, 120_000);
afterAll(() => lab.close());

async function behave({ runId, stepKey, attempt }: ExecuteStepInput): Promise<Outputs> {
  const { failures = [], outputs = {}, writes } = shapes.get(runId)?.behaviours?.[stepKey] ?? {};
  const failure = failures[attempt - 1];
  if (failure !== undefined) throw stepFailure(failure, 'as told');
  return writes === undefined ? outputs : { plan: await lab.written.write(writes) };
}

describe('on a real server', () => {
  it.each(NAMES)(
    'the shape %s ends as written',
    async (name) => {
      const shape = shapes.get(name);
      const result = await results.get(name);
      const steps = await listSteps(lab.database, { projectId: 'default', runId: name });
      const shown = Object.fromEntries(steps.map(({ key, status }) => [key, status]));
      expect({ status: result?.status, steps: shown }).toEqual({
        status: shape?.status,
        steps: shape?.steps,
      });
    },
    120_000,
  ); // the first one waits for all that runs beside it
});
