import type { Plan, StepSpec } from '../../schemas/plan';
import { plan, step } from '../support/plans';
import { artifactOf, openStepLab, runStep, shell, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

describe('a command', () => {
  it('runs in its code, finds its params, leaves files and values', async () => {
    const script = `
      cat hello.txt; cat "$ANNEAL_PARAMS_FILE"; echo oops >&2
      mkdir -p out/model && printf weights > out/model/w.bin
      printf side > "$ANNEAL_OUTPUT_DIR/report"
      echo '{"rows": 3}' > "$ANNEAL_OUTPUT_DIR/outputs.json"`;
    const outputs: StepSpec['outputs'] = {
      model: { kind: 'model', path: 'out/model' },
      report: { kind: 'file' },
      rows: { value: true },
    };
    const params: Plan['params'] = { lr: { type: 'number' } };
    const given = { ...shell(script, { outputs }), params };
    const { runId } = await lab.begin(given, {
      params: { lr: 0.5 },
      files: { 'hello.txt': 'hello\n' },
    });
    const outcome = await runStep(lab, runId);
    const model = artifactOf(outcome, 'model');
    expect(outcome).toMatchObject({ result: { outputs: { rows: { value: 3 } } } });
    const { files } = await lab.user.get<{ files: { path: string; url: string }[] }>(
      `/api/v1/artifacts/${model}`,
    );
    expect(files.map((file) => file.path)).toEqual(['w.bin']);
    expect(await (await fetch(files[0]?.url ?? '')).text()).toBe('weights');
    expect(await lab.logs(runId)).toEqual(
      expect.arrayContaining(['stdout: hello', 'stdout: {"lr":0.5}', 'stderr: oops']),
    );
    expect(await lab.attempts(runId)).toMatchObject([
      { status: 'succeeded', exitCode: 0, node: 'n1' },
    ]);
  });

  it('sees the contract, and nothing of the worker', async () => {
    process.env['ANNEAL_NODE_TOKEN'] = 'secret-of-the-node';
    const { runId } = await lab.begin(shell('env', { env: { MINE: 'yes ${{ 1 + 1 }}' } }));
    await runStep(lab, runId, { attempt: 1 });
    delete process.env['ANNEAL_NODE_TOKEN'];
    const lines = (await lab.logs(runId)).map((line) => line.replace('stdout: ', ''));
    const pairs = lines.map((text) => text.split(/=(.*)/s) as [string, string]);
    const env: Record<string, string | undefined> = Object.fromEntries(pairs);
    expect(env).toMatchObject({
      MLFLOW_TRACKING_URI: lab.node.api,
      MLFLOW_EXPERIMENT_NAME: 'test',
      ANNEAL_API: lab.node.api,
      ANNEAL_RUN_ID: runId,
      ANNEAL_STEP: 'train',
      ANNEAL_ATTEMPT: '1',
      ANNEAL_RESUME_FROM: '',
      ANNEAL_GRACE_SECONDS: '10',
      MINE: 'yes 2',
    });
    expect(env['MLFLOW_TRACKING_TOKEN']).toMatch(/^anl_attempt_/);
    expect(env['PYTHONHASHSEED']).toBe(env['ANNEAL_SEED']);
    expect(env['TRACEPARENT']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(env['MLFLOW_RUN_ID']).toBeUndefined();
    expect(lines.join('\n')).not.toContain('secret-of-the-node');
  });

  it.each(['file', 'pipeline'] as const)(
    'gets a %s that another step has left behind',
    async (kind) => {
      const given = plan([
        step('make', {
          argv: ['sh', '-c', 'printf 1,2 > data.csv'],
          outputs: { table: { kind, path: 'data.csv' } },
        }),
        step('train', {
          argv: [
            'sh',
            '-c',
            'cat "$ANNEAL_INPUT_TABLE"; echo; cat "$1"',
            'x',
            '${{ inputs.table.path }}',
          ],
          inputs: { table: 'steps.make.outputs.table' },
        }),
      ]);
      const { runId } = await lab.begin(given);
      expect(await runStep(lab, runId, { stepKey: 'make' })).toMatchObject({ kind: 'succeeded' });
      expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
      expect(await lab.logs(runId)).toEqual(['stdout: 1,2', 'stdout: 1,2']);
    },
  );

  it.each([
    ['exit 3', 'echo bad input >&2; exit 3', 'crash', 'it ended with exit code 3: bad input'],
    ['exit 75', 'exit 75', 'preempted', 'it had to leave its node'],
    ['a missing output', 'true', 'data', "The output 'model' is missing"],
  ])('that ends by %s fails with its class', async (...[, script, failureClass, reason]) => {
    const outputs: StepSpec['outputs'] = { model: { kind: 'model' } };
    const { runId } = await lab.begin(shell(script, { outputs }));
    const failure = { failureClass, reason: expect.stringContaining(reason) as string };
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'failed', failure });
    expect(await lab.attempts(runId)).toMatchObject([{ status: 'failed', ...failure }]);
  });

  it('that is not there is named, with the node', async () => {
    const { runId } = await lab.begin(plan([step('train', { argv: ['no-such-tool'] })]));
    const reason = 'no-such-tool: command not found on node n1';
    expect(await runStep(lab, runId)).toMatchObject({ failure: { failureClass: 'crash', reason } });
  });

  it('is ended at its timeout', async () => {
    const { runId } = await lab.begin(shell('exec sleep 60'));
    const outcome = await runStep(lab, runId, { timeoutSeconds: 0.3 });
    expect(outcome).toMatchObject({ failure: { failureClass: 'timeout' } });
  });

  it('may leave a daemon that holds its output open', async () => {
    const daemon = 'setsid sleep 20 & sleep 0.3; echo started';
    const { runId } = await lab.begin(shell(daemon));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: started']);
  }, 20_000);

  it('runs once: a second begin of a committed step gives its outputs', async () => {
    const outputs: StepSpec['outputs'] = { n: { value: true } };
    const script =
      'echo "{\\"n\\": $ANNEAL_ATTEMPT}" > "$ANNEAL_OUTPUT_DIR/outputs.json"; echo ran';
    const { runId } = await lab.begin(shell(script, { outputs }));
    const first = await runStep(lab, runId);
    expect(first).toMatchObject({ result: { outputs: { n: { value: 1 } } } });
    expect(await runStep(lab, runId, { attempt: 2 })).toEqual(first);
    expect(await lab.logs(runId)).toEqual(['stdout: ran']);
    expect(await lab.attempts(runId)).toHaveLength(1);
  });
});

describe('a function step', () => {
  const FILE = `
    import { artifact, step } from 'anneal';
    import { mkdirSync, renameSync, writeFileSync, readFileSync } from 'node:fs';
    import { join } from 'node:path';
    import { z } from 'zod';
    export const fit = step({
      in: z.object({ epochs: z.number() }),
      out: z.object({ model: artifact('model'), loss: z.number() }),
      async run({ epochs }, ctx) {
        let epoch = ctx.resumeFrom ? Number(readFileSync(join(ctx.resumeFrom, 'n'), 'utf8')) : 0;
        while (epoch < epochs) {
          epoch += 1;
          await ctx.log({ loss: 1 / epoch }, epoch);
          const hidden = join(ctx.checkpointDir, '.writing');
          mkdirSync(hidden); writeFileSync(join(hidden, 'n'), String(epoch));
          renameSync(hidden, join(ctx.checkpointDir, 'epoch-' + epoch));
          if (epoch === 2 && !ctx.resumeFrom) throw new Error('bad luck');
        }
        writeFileSync(ctx.output('model'), 'm');
        return { model: ctx.output('model'), loss: 1 / epoch };
      },
    });`;
  const spec = step('train', {
    uses: './steps/fit.ts#fit',
    with: { epochs: 4 },
    outputs: {
      model: { kind: 'model' },
      loss: { value: true },
      least: { metric: 'loss', pick: 'min' },
      last: { metric: 'loss', pick: 'last' },
    },
  });

  it('runs, logs to one tracked run over all attempts, and gives its metrics as outputs', async () => {
    const { runId } = await lab.begin(plan([spec]), { files: { 'steps/fit.ts': FILE } });
    const first = await runStep(lab, runId);
    expect(first).toMatchObject({ failure: { failureClass: 'crash' } });
    expect((await lab.logs(runId)).join('\n')).toMatch(/stderr: Error: bad luck[^]*fit\.ts/);
    const second = await runStep(lab, runId, { attempt: 2 });
    expect(second).toMatchObject({
      result: { outputs: { loss: { value: 0.25 }, least: { value: 0.25 }, last: { value: 0.25 } } },
    });
    type Steps = { steps: { trackedRunId: string }[] };
    const { steps } = await lab.user.get<Steps>(`/api/v1/pipeline-runs/${runId}/steps`);
    const id = steps[0]?.trackedRunId ?? '';
    const history = await lab.parts.metrics.history({
      projectId: 'default',
      runId: id,
      key: 'loss',
      maxResults: 100,
    });
    expect(history.points.map((point) => point.step)).toEqual([1, 2, 3, 4]);
    const { run: tracked } = await lab.user.get<{ run: { info: { status: string } } }>(
      `/api/2.0/mlflow/runs/get?run_id=${id}`,
    );
    expect(tracked.info.status).toBe('FINISHED');
    const list = await lab.user.get<{ files: { path: string }[] }>(
      `/api/2.0/mlflow/artifacts/list?run_id=${id}&path=model`,
    );
    expect(list.files).toHaveLength(1);
  });

  it('that gets a wrong value says which', async () => {
    const wrong = { ...spec, with: { epochs: 'many' } };
    const { runId } = await lab.begin(plan([wrong]), { files: { 'steps/fit.ts': FILE } });
    expect(await runStep(lab, runId)).toMatchObject({ failure: { failureClass: 'data' } });
    expect((await lab.logs(runId)).join('\n')).toContain('epochs');
  });
});
