import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StepSpec } from '../../schemas/plan';
import { objectKey } from '../../storage/objects/keys';
import { openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

interface Wrong {
  readonly reason: string;
  readonly logs: readonly string[];
}
/** Runs a step that ends with exit code 0 and fails nevertheless: why, and what its log says. */
async function failureOf(script: string, outputs: StepSpec['outputs']): Promise<Wrong> {
  const { runId } = await lab.begin(shell(script, { outputs }));
  const outcome = await runStep(lab, runId);
  if (outcome.kind !== 'failed') throw new Error(JSON.stringify(outcome));
  expect(outcome.failure).toMatchObject({ failureClass: 'data', exitCode: 0 });
  const [attempt] = await lab.attempts(runId);
  expect(attempt).toMatchObject({ failureClass: 'data', reason: outcome.failure.reason });
  return { reason: outcome.failure.reason, logs: await lab.logs(runId) };
}
/** Writes outputs.json as given. */
function values(text: string): string {
  return `cat > "$ANNEAL_OUTPUT_DIR/outputs.json" <<'END'\n${text}\nEND`;
}
const VALUE: StepSpec['outputs'] = { accuracy: { value: true } };
const FILE = '$ANNEAL_OUTPUT_DIR/outputs.json';
const ADVICE = 'Write one JSON object such as {"accuracy": 0.93}';

describe('an output that is declared and not there after exit code 0', () => {
  it.each<[string, StepSpec['outputs'], string, string]>([
    [
      'a file without a path',
      { model: { kind: 'model' } },
      'true',
      "The output 'model' is missing: the step wrote nothing at $ANNEAL_OUTPUT_DIR/model. Write the model there.",
    ],
    [
      'a file with a path',
      { table: { kind: 'dataset', path: 'out/t.csv' } },
      'mkdir out',
      "The output 'table' is missing: the step wrote nothing at out/t.csv. Write the dataset there.",
    ],
    [
      'a folder with nothing in it',
      { model: { kind: 'model' } },
      'mkdir "$ANNEAL_OUTPUT_DIR/model"',
      "The output 'model' is missing: there is an empty folder at $ANNEAL_OUTPUT_DIR/model. Write the model there.",
    ],
    [
      'a value without outputs.json',
      VALUE,
      'true',
      `The output 'accuracy' is missing: the step wrote no ${FILE}. Write {"accuracy": 0.93} there.`,
    ],
    [
      'a value with another in its place',
      VALUE,
      values('{"acuracy": 0.5}'),
      `The output 'accuracy' is missing: ${FILE} does not hold it, only acuracy. Write it there.`,
    ],
    [
      'a metric of a step that logged nothing',
      { loss: { metric: 'loss', pick: 'last' } },
      'true',
      "The output 'loss' is missing: the step logged no run.",
    ],
  ])('fails the step by name: %s', async (...[, outputs, script, reason]) => {
    const wrong = await failureOf(script, outputs);
    expect(wrong.reason).toBe(reason);
    expect(wrong.logs).toContain(`anneal: failed (data): ${reason}`);
  });

  it('is named together with all others, and nothing is uploaded', async () => {
    const outputs: StepSpec['outputs'] = {
      report: { kind: 'file' },
      model: { kind: 'model' },
      table: { kind: 'dataset' },
      ...VALUE,
    };
    const text = crypto.randomUUID();
    const script = `printf ${text} > "$ANNEAL_OUTPUT_DIR/report"`;
    const { reason } = await failureOf(script, outputs);
    expect(reason.match(/The output '\w+' is missing/g)).toEqual([
      "The output 'model' is missing",
      "The output 'table' is missing",
      "The output 'accuracy' is missing",
    ]);
    const digest = createHash('sha256').update(text).digest('hex');
    expect(await lab.parts.objects.head(objectKey('default', digest))).toBeUndefined();
  });

  it('of a metric says which the run has', async () => {
    const script = `
      const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token } = process.env;
      const post = async (path, body) =>
        (await fetch(uri + '/api/2.0/mlflow/runs/' + path, {
          method: 'POST', body: JSON.stringify(body),
          headers: { authorization: 'Bearer ' + token, 'content-type': 'application/json' },
        })).json();
      const { run } = await post('create', { experiment_id: '0' });
      for (const key of ['val/acc', 'val/loss'])
        await post('log-metric', { run_id: run.info.run_id, key, value: 1, timestamp: 1 });`;
    const { reason } = await failureOf(`node --input-type=module -e "${script}"`, {
      accuracy: { metric: 'val/accuracy', pick: 'last' },
    });
    expect(reason).toBe(
      "The output 'accuracy' is missing: no metric 'val/accuracy' was logged; the run holds val/acc, val/loss.",
    );
  });
});

describe('an outputs.json that cannot be taken', () => {
  it.each([
    ['half of it', '{"accuracy": 0.', `${FILE} is not valid JSON: `],
    ['nothing in it', '', `${FILE} is empty. `],
    ['NaN', '{"accuracy": NaN}', `${FILE} is not valid JSON: JSON has no NaN and no Infinity;`],
    ['a list', '[0.5]', `${FILE} holds no JSON object. `],
    ['a number', '0.5', `${FILE} holds no JSON object. `],
  ])('with %s fails the step with what is wrong and what to write', async (...[, text, why]) => {
    const { reason } = await failureOf(values(text), VALUE);
    expect(reason).toContain(`The output 'accuracy' is missing: ${why}`);
    expect(reason).toContain(ADVICE);
  });

  it.each([
    ['a folder', 'mkdir "$ANNEAL_OUTPUT_DIR/outputs.json"', 'is not a file'],
    ['a pipe', 'mkfifo "$ANNEAL_OUTPUT_DIR/outputs.json"', 'is not a file'],
    [
      '1 MiB',
      `head -c 1100000 /dev/zero > "$ANNEAL_OUTPUT_DIR/outputs.json"`,
      'is larger than 1024 KiB',
    ],
  ])('that is %s does so, too', async (...[, script, why]) => {
    const { reason } = await failureOf(script, VALUE);
    expect(reason).toContain(`${FILE} ${why}`);
    expect(reason).toContain(ADVICE);
  });

  it.each([
    [
      'a text that cannot be stored',
      String.raw`{"accuracy": "a\u0000"}`,
      `The output 'accuracy' in ${FILE} holds a NUL or half a character: take it out.`,
    ],
    [
      'more than 64 KiB',
      `{"accuracy": "${'x'.repeat(65_600)}"}`,
      "The output 'accuracy' is larger than 64 KiB: write it to a file.",
    ],
  ])('for %s says so', async (...[, text, reason]) => {
    expect((await failureOf(values(text), VALUE)).reason).toBe(reason);
  });
});

describe('what a step leaves besides its outputs', () => {
  it('is named in its log when it looks like a value', async () => {
    const script = values('{"accuracy": 0.5, "loss": 1}');
    const { runId } = await lab.begin(shell(script, { outputs: VALUE }));
    expect(await runStep(lab, runId)).toMatchObject({
      result: { outputs: { accuracy: { value: 0.5 } } },
    });
    expect(await lab.logs(runId)).toEqual([
      `anneal: ${FILE} holds loss, which the step does not declare among its outputs: not kept.`,
    ]);
  });

  it('may be an outputs.json of its own kind if it declares no values', async () => {
    const { runId } = await lab.begin(shell(values('none of ours')));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual([]);
  });
});

describe('a checkpoint that is refused', () => {
  /** Saves a checkpoint with a file of this name, and goes on until its log says what came of it. */
  async function save(file: string): Promise<string[]> {
    const go = join(lab.folder, crypto.randomUUID());
    const script = `
      mkdir .ck; touch '.ck/${file}'; mv .ck "$ANNEAL_CHECKPOINT_DIR/step-1"
      while [ ! -e ${go} ]; do sleep 0.05; done`;
    const { runId } = await lab.begin(shell(script));
    const outcome = runStep(lab, runId);
    await until(async () => (await lab.logs(runId)).length > 0);
    writeFileSync(go, '');
    expect(await outcome).toMatchObject({ kind: 'succeeded' });
    return lab.logs(runId);
  }

  it('is named once with its file; the step goes on', async () => {
    expect(await save('a#1')).toEqual([
      expect.stringMatching(
        /^anneal: checkpoint step-1 was not saved: The file 'a#1' cannot be kept: name it /,
      ),
    ]);
    expect(await save('a-1')).toEqual(['anneal: checkpoint step-1 is safe']);
  });
});

describe('a file name that artifacts do not take', () => {
  it('fails the step with the output and the name', async () => {
    const script = `mkdir "$ANNEAL_OUTPUT_DIR/model"; touch "$ANNEAL_OUTPUT_DIR/model/a#1"`;
    const { reason } = await failureOf(script, { model: { kind: 'model' } });
    expect(reason).toBe(
      "The output 'model': The file 'a#1' cannot be kept: name it in at most 2000 bytes without '\\', '#', ';', '..' and control characters.",
    );
  });
});
