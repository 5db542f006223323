import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { Attempt } from '../../schemas/pipeline-runs';
import type { Plan, StepSpec } from '../../schemas/plan';
import type { StepOutcome, StepSignals } from '../../steps/attempt';
import { executeStep } from '../../steps/execute-step';
import { plan, step } from '../support/plans';
import { openStepLab, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

const never: StepSignals = { heartbeat: () => undefined, stop: new Promise(() => undefined) };

function inputOf(runId: string, extra: Partial<ExecuteStepInput> = {}): ExecuteStepInput {
  return {
    projectId: 'default',
    runId,
    stepKey: 'train',
    attempt: 1,
    timeoutSeconds: 60,
    graceSeconds: 10,
    ...extra,
  };
}
function shell(script: string, extra: Partial<StepSpec> = {}): Plan {
  return plan([step('train', { argv: ['sh', '-c', script], ...extra })]);
}
function run(runId: string, extra: Partial<ExecuteStepInput> = {}): Promise<StepOutcome> {
  return executeStep(lab.node, inputOf(runId, extra), never);
}
async function attemptsOf(runId: string): Promise<Attempt[]> {
  const path = `/api/v1/pipeline-runs/${runId}/attempts`;
  return (await lab.user.get<{ attempts: Attempt[] }>(path)).attempts;
}
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i += 1) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('it did not happen');
}
function untilLogged(runId: string, text: string): Promise<void> {
  return until(async () => (await lab.logs(runId)).some((line) => line.includes(text)));
}
function outputOf(outcome: StepOutcome, name: string): string {
  if (outcome.kind !== 'succeeded') throw new Error(JSON.stringify(outcome));
  const output = outcome.result.outputs[name];
  if (output === undefined || !('artifact' in output)) throw new Error(`no artifact ${name}`);
  return output.artifact;
}

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
    const outcome = await run(runId);
    const model = outputOf(outcome, 'model');
    expect(outcome).toMatchObject({ result: { outputs: { rows: { value: 3 } } } });
    const { files } = await lab.user.get<{ files: { path: string; url: string }[] }>(
      `/api/v1/artifacts/${model}`,
    );
    expect(files.map((file) => file.path)).toEqual(['w.bin']);
    expect(await (await fetch(files[0]?.url ?? '')).text()).toBe('weights');
    expect(await lab.logs(runId)).toEqual(
      expect.arrayContaining(['stdout: hello', 'stdout: {"lr":0.5}', 'stderr: oops']),
    );
    expect(await attemptsOf(runId)).toMatchObject([
      { status: 'succeeded', exitCode: 0, node: 'n1' },
    ]);
  });

  it('sees the contract, and nothing of the worker', async () => {
    process.env['ANNEAL_NODE_TOKEN'] = 'secret-of-the-node';
    const { runId } = await lab.begin(shell('env', { env: { MINE: 'yes ${{ 1 + 1 }}' } }));
    await run(runId, { attempt: 1 });
    delete process.env['ANNEAL_NODE_TOKEN'];
    const lines = (await lab.logs(runId)).map((line) => line.replace('stdout: ', ''));
    const env = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s)));
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

  it('gets what another step has left behind', async () => {
    const given = plan([
      step('make', {
        argv: ['sh', '-c', 'printf 1,2 > data.csv'],
        outputs: { table: { kind: 'file', path: 'data.csv' } },
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
    expect(await run(runId, { stepKey: 'make' })).toMatchObject({ kind: 'succeeded' });
    expect(await run(runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: 1,2', 'stdout: 1,2']);
  });

  it.each([
    ['exit 3', 'echo bad input >&2; exit 3', 'crash', 'it ended with exit code 3: bad input'],
    ['exit 75', 'exit 75', 'preempted', 'it had to leave its node'],
    ['a missing output', 'true', 'data', "The output 'model' is missing"],
  ])('that ends by %s fails with its class', async (_how, script, failureClass, reason) => {
    const outputs: StepSpec['outputs'] = { model: { kind: 'model' } };
    const { runId } = await lab.begin(shell(script, { outputs }));
    const failure = { failureClass, reason: expect.stringContaining(reason) as string };
    expect(await run(runId)).toMatchObject({ kind: 'failed', failure });
    expect(await attemptsOf(runId)).toMatchObject([{ status: 'failed', ...failure }]);
  });

  it('that is not there is named, with the node', async () => {
    const { runId } = await lab.begin(plan([step('train', { argv: ['no-such-tool'] })]));
    const reason = 'no-such-tool: command not found on node n1';
    expect(await run(runId)).toMatchObject({ failure: { failureClass: 'crash', reason } });
  });

  it('is ended at its timeout', async () => {
    const { runId } = await lab.begin(shell('exec sleep 60'));
    const outcome = await run(runId, { timeoutSeconds: 0.3 });
    expect(outcome).toMatchObject({ failure: { failureClass: 'timeout' } });
  });

  it('may leave a daemon that holds its output open', async () => {
    const daemon = 'setsid sleep 20 & sleep 0.3; echo started';
    const { runId } = await lab.begin(shell(daemon));
    expect(await run(runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: started']);
  }, 20_000);

  it('runs once: a second begin of a committed step gives its outputs', async () => {
    const outputs: StepSpec['outputs'] = { n: { value: true } };
    const script =
      'echo "{\\"n\\": $ANNEAL_ATTEMPT}" > "$ANNEAL_OUTPUT_DIR/outputs.json"; echo ran';
    const { runId } = await lab.begin(shell(script, { outputs }));
    const first = await run(runId);
    expect(first).toMatchObject({ result: { outputs: { n: { value: 1 } } } });
    expect(await run(runId, { attempt: 2 })).toEqual(first);
    expect(await lab.logs(runId)).toEqual(['stdout: ran']);
    expect(await attemptsOf(runId)).toHaveLength(1);
  });
});

/** Counts to three, a checkpoint after each number; fails after the first in attempt 1. */
const COUNTS = `
  n=0; [ -n "$ANNEAL_RESUME_FROM" ] && n=$(cat "$ANNEAL_RESUME_FROM/n")
  echo "starts at $n"
  while [ $n -lt 3 ]; do
    n=$((n + 1)); d="$ANNEAL_CHECKPOINT_DIR"
    mkdir "$d/tmp-$n"; echo $n > "$d/tmp-$n/n"; mv "$d/tmp-$n" "$d/step-$n"
    [ "$ANNEAL_ATTEMPT" = 1 ] && [ $n = 2 ] && exit 1
  done
  echo "{\\"n\\": $n}" > "$ANNEAL_OUTPUT_DIR/outputs.json"`;
const counts = (): Plan => shell(COUNTS, { outputs: { n: { value: true } } });

describe('a checkpoint', () => {
  it('is what the next attempt goes on from', async () => {
    const { runId } = await lab.begin(counts());
    expect(await run(runId)).toMatchObject({ failure: { failureClass: 'crash' } });
    const second = await run(runId, { attempt: 2 });
    expect(second).toMatchObject({ result: { outputs: { n: { value: 3 } } } });
    expect(await lab.logs(runId)).toContain('stdout: starts at 2');
    expect(await attemptsOf(runId)).toMatchObject([
      { status: 'failed', resumedFrom: null },
      { status: 'succeeded', resumedFrom: 'step-2' },
    ]);
  });

  it('gives way to the one before it when its bytes are wrong', async () => {
    const first = `d="$ANNEAL_CHECKPOINT_DIR"
      for n in 1 2; do
        mkdir "$d/step-$n"; echo "state $n" > "$d/step-$n/n"; touch "$d/step-$n/.complete"; sleep 1
      done
      [ "$ANNEAL_ATTEMPT" = 1 ] && exit 1; cat "$ANNEAL_RESUME_FROM/n"`;
    const { runId } = await lab.begin(shell(first));
    await run(runId);
    type Saved = { checkpoints: { name: string; artifactId: string }[] };
    const path = `/api/v1/pipeline-runs/${runId}/checkpoints`;
    const { checkpoints } = await lab.user.get<Saved>(path);
    expect(checkpoints.map(({ name }) => name)).toEqual(['step-1', 'step-2']);
    const newest = await lab.user.get<{ files: { path: string; digest: string }[] }>(
      `/api/v1/artifacts/${checkpoints[1]?.artifactId ?? ''}`,
    );
    spoilObject(newest.files.find(({ path }) => path === 'n')?.digest ?? '');
    expect(await run(runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    const lines = await lab.logs(runId);
    expect(lines.filter((line) => line.includes('cannot be used'))).toHaveLength(1);
    expect(lines).toEqual(
      expect.arrayContaining(['anneal: resumes from checkpoint step-1', 'stdout: state 1']),
    );
    expect((await attemptsOf(runId))[1]).toMatchObject({ resumedFrom: 'step-1' });
  });

  it('may be replaced under the same name', async () => {
    const script = `d="$ANNEAL_CHECKPOINT_DIR"
      [ -n "$ANNEAL_RESUME_FROM" ] && { cat "$ANNEAL_RESUME_FROM"/last; exit 0; }
      for n in 1 2; do echo "state $n" > "$d/tmp"; mv "$d/tmp" "$d/last"; sleep 1; done; exit 1`;
    const { runId } = await lab.begin(shell(script));
    await run(runId);
    await run(runId, { attempt: 2 });
    expect(await lab.logs(runId)).toContain('stdout: state 2');
  });
});

/** Overwrites the one stored object with this digest. */
function spoilObject(digest: string): void {
  const root = join(lab.folder, 'data');
  const [file] = readdirSync(root, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(digest));
  if (file === undefined) throw new Error(`no object ${digest}`);
  const path = join(root, file);
  const { length } = readFileSync(path);
  rmSync(path);
  writeFileSync(path, 'x'.repeat(length));
}

describe('a step that must stop', () => {
  const saving = `
    save() { mkdir "$ANNEAL_CHECKPOINT_DIR/tmp"; echo 7 > "$ANNEAL_CHECKPOINT_DIR/tmp/n"
      mv "$ANNEAL_CHECKPOINT_DIR/tmp" "$ANNEAL_CHECKPOINT_DIR/last"; exit 75; }
    trap save TERM; [ -n "$ANNEAL_RESUME_FROM" ] && { cat "$ANNEAL_RESUME_FROM/n"; exit 0; }
    echo up; while :; do sleep 0.05; done`;

  it('saves and leaves when its worker shuts down; the next attempt goes on', async () => {
    const { runId } = await lab.begin(shell(saving));
    const { stop, say } = stopSignal();
    const ending = executeStep(lab.node, inputOf(runId), { ...never, stop });
    await untilLogged(runId, 'up');
    say('preempted');
    expect(await ending).toMatchObject({ failure: { failureClass: 'preempted' } });
    expect(await run(runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toContain('stdout: 7');
  });

  it('is committed if it comes to its end within the grace', async () => {
    const script =
      'trap "echo {} > $ANNEAL_OUTPUT_DIR/outputs.json; exit 0" TERM; echo up; while :; do sleep 0.05; done';
    const { runId } = await lab.begin(shell(script));
    const { stop, say } = stopSignal();
    const ending = executeStep(lab.node, inputOf(runId), { ...never, stop });
    await untilLogged(runId, 'up');
    say('preempted');
    expect(await ending).toMatchObject({ kind: 'succeeded' });
  });

  it('is cancelled with SIGTERM, and killed when the grace is over', async () => {
    const { runId } = await lab.begin(
      shell('trap "echo asked" TERM; echo up; while :; do sleep 0.05; done'),
    );
    const { stop, say } = stopSignal();
    const input = inputOf(runId, { graceSeconds: 1 });
    const ending = executeStep(lab.node, input, { ...never, stop });
    await untilLogged(runId, 'up');
    say('cancelled');
    expect(await ending).toEqual({ kind: 'cancelled' });
    expect(await lab.logs(runId)).toEqual(expect.arrayContaining(['stdout: up', 'stdout: asked']));
  });

  it('is killed once a newer attempt has begun', async () => {
    const { runId } = await lab.begin(
      shell(
        '[ $ANNEAL_ATTEMPT = 2 ] && exit 0; trap "" TERM; while :; do echo on; sleep 0.2; done',
      ),
    );
    const old = run(runId);
    await untilLogged(runId, 'on');
    expect(await run(runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    expect(await old).toMatchObject({ failure: { failureClass: 'node-lost' } });
    expect(await attemptsOf(runId)).toMatchObject([{ status: 'lost' }, { status: 'succeeded' }]);
  });

  function stopSignal(): Pick<StepSignals, 'stop'> & {
    say(cause: Awaited<StepSignals['stop']>): void;
  } {
    type Cause = Awaited<StepSignals['stop']>;
    let say: (cause: Cause) => void = () => undefined;
    const stop = new Promise<Cause>((resolve) => {
      say = resolve;
    });
    return { stop, say };
  }
});

describe('while the api is away', () => {
  it('a step runs on, and its logs, outputs and end arrive later', async () => {
    const outputs: StepSpec['outputs'] = { model: { kind: 'file', path: 'model' } };
    const go = join(lab.folder, 'go');
    const script = `echo up; while [ ! -e ${go} ]; do sleep 0.05; done; echo down; printf w > model`;
    const { runId } = await lab.begin(shell(script, { outputs }));
    const ending = run(runId);
    await untilLogged(runId, 'up');
    await lab.stopApi();
    mkdirSync(go);
    await sleep(1_000); // the step ends meanwhile; nothing depends on when
    await lab.startApi();
    expect(outputOf(await ending, 'model')).toMatch(/^[0-9a-f]{64}$/);
    expect(await lab.logs(runId)).toEqual(['stdout: up', 'stdout: down']);
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
    const first = await run(runId);
    expect(first).toMatchObject({ failure: { failureClass: 'crash' } });
    expect((await lab.logs(runId)).join('\n')).toMatch(/stderr: Error: bad luck[^]*fit\.ts/);
    const second = await run(runId, { attempt: 2 });
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
    expect(await run(runId)).toMatchObject({ failure: { failureClass: 'crash' } });
    expect((await lab.logs(runId)).join('\n')).toContain('epochs');
  });
});
