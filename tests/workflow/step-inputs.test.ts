import type { Plan, StepSpec } from '../../schemas/plan';
import { plan, step } from '../support/plans';
import { openStepLab, runStep, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

const PARAMS: Plan['params'] = { lrs: { type: 'list' } };
/** One item leaves a model, a file and a value; the file is the same for all. */
const FIT = `
  mkdir -p "$ANNEAL_OUTPUT_DIR/model" && printf "weights of $0" > "$ANNEAL_OUTPUT_DIR/model/w.bin"
  printf notes > "$ANNEAL_OUTPUT_DIR/note"
  echo "{\\"loss\\": $0}" > "$ANNEAL_OUTPUT_DIR/outputs.json"`;
const fit = step('fit', {
  foreach: { lr: 'params.lrs' },
  argv: ['sh', '-c', FIT, '${{ item.lr }}'],
  outputs: { model: { kind: 'model' }, note: { kind: 'file' }, loss: { value: true } },
});
/** Shows the file of an input, and each file that it names. */
const REDUCE = `
  const { readFileSync } = require('node:fs');
  const items = JSON.parse(readFileSync(process.env.ANNEAL_INPUT_RUNS, 'utf8'));
  for (const { index, item, model, note, loss } of items) {
    const text = readFileSync(model + '/w.bin', 'utf8') + ', ' + readFileSync(note, 'utf8');
    console.log(index, JSON.stringify(item), text, loss);
  }
  console.log(process.argv[1] === process.env.ANNEAL_INPUT_RUNS, process.argv[1].split('/').pop());`;

/** Runs two items of `fit`, in which the middle one of three is skipped, then `train`. */
async function reduce(train: Partial<StepSpec>, files?: Record<string, string>): Promise<string[]> {
  const given = plan([fit, step('train', train)], PARAMS);
  const { runId } = await lab.begin(given, {
    params: { lrs: [0.5, 0.25, 0.125] },
    ...(files === undefined ? {} : { files }),
  });
  for (const stepKey of ['fit[0]', 'fit[2]']) {
    expect(await runStep(lab, runId, { stepKey })).toMatchObject({ kind: 'succeeded' });
  }
  const outcome = await runStep(lab, runId);
  const { lines } = await lab.user.get<{ lines: { stepKey: string; text: string }[] }>(
    `/api/v1/pipeline-runs/${runId}/logs?step=train`,
  );
  expect({ lines, outcome }).toMatchObject({ outcome: { kind: 'succeeded' } });
  return lines.map(({ text }) => text);
}

describe('the outputs of a foreach step as an input', () => {
  it('come to a command as a file of items, with paths of their artifacts', async () => {
    const argv = ['node', '-e', REDUCE, '${{ inputs.runs.path }}'];
    expect(await reduce({ argv, inputs: { runs: 'steps.fit.outputs' } })).toEqual([
      '0 {"lr":0.5} weights of 0.5, notes 0.5',
      '2 {"lr":0.125} weights of 0.125, notes 0.125',
      'true items.json',
    ]);
  });

  it('come to a function as a list, with paths of their artifacts', async () => {
    const file = `
      import { artifact, step } from 'anneal';
      import { readFileSync } from 'node:fs';
      import { z } from 'zod';
      export const pick = step({
        in: z.object({
          runs: z.array(
            z.object({
              index: z.number(), model: artifact('model'), loss: z.number(),
              item: z.object({ lr: z.number() }),
            }),
          ),
        }),
        out: z.object({}),
        run({ runs }) {
          for (const { index, model, loss, item } of runs) {
            console.log(index, item.lr, readFileSync(model + '/w.bin', 'utf8'), loss);
          }
          return {};
        },
      });`;
    const train = { uses: './pick.ts#pick', inputs: { runs: 'steps.fit.outputs' } };
    expect(await reduce(train, { 'pick.ts': file })).toEqual([
      '0 0.5 weights of 0.5 0.5',
      '2 0.125 weights of 0.125 0.125',
    ]);
  });

  it('come as a file without artifacts, too, and longer than any variable may be', async () => {
    const script = `
      const items = JSON.parse(require('node:fs').readFileSync(process.env.ANNEAL_INPUT_RUNS, 'utf8'));
      console.log(items.length, items[399].index, items[399].text.length, items[399].item.n);`;
    const text = { text: { value: true } } as const;
    const many = step('fit', { foreach: { n: 'params.ns' }, outputs: text });
    const argv = ['node', '-e', script];
    const train = step('train', { argv, inputs: { runs: 'steps.fit.outputs' } });
    const ns = Array.from({ length: 400 }, (_, n) => n);
    const { runId } = await lab.begin(plan([many, train], { ns: { type: 'list' } }), {
      params: { ns },
    });
    // 400 processes would show nothing more
    await lab.db.postgres.query(
      "UPDATE steps SET outputs = jsonb_build_object('text', jsonb_build_object('value', $2::text)) WHERE run_id = $1 AND key LIKE 'fit[%'",
      [runId, 'x'.repeat(500)],
    );
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: 400 399 500 399']);
  });
});

describe('other inputs', () => {
  it('come as a file of no items if the list is empty', async () => {
    const give = step('give', {
      argv: ['sh', '-c', `echo '{"list": []}' > "$ANNEAL_OUTPUT_DIR/outputs.json"`],
      outputs: { list: { value: true } },
    });
    const each = step('fit', {
      foreach: { n: 'steps.give.outputs.list' },
      argv: ['true'],
      outputs: { text: { value: true } },
    });
    const argv = ['cat', '${{ inputs.runs.path }}'];
    const train = step('train', { argv, inputs: { runs: 'steps.fit.outputs' } });
    const { runId } = await lab.begin(plan([give, each, train]));
    expect(await runStep(lab, runId, { stepKey: 'give' })).toMatchObject({ kind: 'succeeded' });
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: []']);
  });

  it('that are values come as text or JSON', async () => {
    const train = step('train', {
      argv: ['sh', '-c', 'echo "$ANNEAL_INPUT_NAME $ANNEAL_INPUT_LRS $ANNEAL_INPUT_ONE"'],
      inputs: { name: '"ann"', lrs: 'params.lrs', one: 'params.lrs[0]' },
    });
    const { runId } = await lab.begin(plan([train], PARAMS), { params: { lrs: [0.5, 2] } });
    await runStep(lab, runId);
    expect(await lab.logs(runId)).toEqual(['stdout: ann [0.5,2] 0.5']);
  });
});
