import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Plan, StepSpec } from '../../schemas/plan';
import type { StepSignals } from '../../steps/attempt';
import { artifactOf, openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

type Cause = Awaited<StepSignals['stop']>;
/** A signal to stop that the test gives. */
function stopSignal(): { readonly stop: Promise<Cause>; readonly say: (cause: Cause) => void } {
  let say: (cause: Cause) => void = () => undefined;
  const stop = new Promise<Cause>((resolve) => {
    say = resolve;
  });
  return { stop, say };
}
function untilLogged(runId: string, text: string): Promise<void> {
  return until(async () => (await lab.logs(runId)).some((line) => line.includes(text)));
}

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
    expect(await runStep(lab, runId)).toMatchObject({ failure: { failureClass: 'crash' } });
    const second = await runStep(lab, runId, { attempt: 2 });
    expect(second).toMatchObject({ result: { outputs: { n: { value: 3 } } } });
    expect(await lab.logs(runId)).toContain('stdout: starts at 2');
    expect(await lab.attempts(runId)).toMatchObject([
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
    await runStep(lab, runId);
    type Saved = { checkpoints: { name: string; artifactId: string }[] };
    const path = `/api/v1/pipeline-runs/${runId}/checkpoints`;
    const { checkpoints } = await lab.user.get<Saved>(path);
    expect(checkpoints.map(({ name }) => name)).toEqual(['step-1', 'step-2']);
    const newest = await lab.user.get<{ files: { path: string; digest: string }[] }>(
      `/api/v1/artifacts/${checkpoints[1]?.artifactId ?? ''}`,
    );
    spoilObject(newest.files.find(({ path }) => path === 'n')?.digest ?? '');
    expect(await runStep(lab, runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    const lines = await lab.logs(runId);
    expect(lines.filter((line) => line.includes('cannot be used'))).toHaveLength(1);
    expect(lines).toEqual(
      expect.arrayContaining(['anneal: resumes from checkpoint step-1', 'stdout: state 1']),
    );
    expect((await lab.attempts(runId))[1]).toMatchObject({ resumedFrom: 'step-1' });
  });

  it('may be a single file, replaced under the same name', async () => {
    const script = `d="$ANNEAL_CHECKPOINT_DIR"
      [ -n "$ANNEAL_RESUME_FROM" ] && { cat "$ANNEAL_RESUME_FROM"; exit 0; }
      for n in 1 2; do echo "round $n" > "$d/tmp"; mv "$d/tmp" "$d/last"; sleep 1; done; exit 1`;
    const { runId } = await lab.begin(shell(script));
    await runStep(lab, runId);
    await runStep(lab, runId, { attempt: 2 });
    expect(await lab.logs(runId)).toContain('stdout: round 2');
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
    const ending = runStep(lab, runId, { stop });
    await untilLogged(runId, 'up');
    say('preempted');
    expect(await ending).toMatchObject({ failure: { failureClass: 'preempted' } });
    expect(await runStep(lab, runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toContain('stdout: 7');
  });

  it('is committed if it comes to its end within the grace', async () => {
    const script =
      'trap "echo {} > $ANNEAL_OUTPUT_DIR/outputs.json; exit 0" TERM; echo up; while :; do sleep 0.05; done';
    const { runId } = await lab.begin(shell(script));
    const { stop, say } = stopSignal();
    const ending = runStep(lab, runId, { stop });
    await untilLogged(runId, 'up');
    say('preempted');
    expect(await ending).toMatchObject({ kind: 'succeeded' });
  });

  it('is cancelled with SIGTERM, and killed when the grace is over', async () => {
    const { runId } = await lab.begin(
      shell('trap "echo asked" TERM; echo up; while :; do sleep 0.05; done'),
    );
    const { stop, say } = stopSignal();
    const ending = runStep(lab, runId, { graceSeconds: 1, stop });
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
    const old = runStep(lab, runId);
    await untilLogged(runId, 'on');
    expect(await runStep(lab, runId, { attempt: 2 })).toMatchObject({ kind: 'succeeded' });
    expect(await old).toMatchObject({ failure: { failureClass: 'node-lost' } });
    expect(await lab.attempts(runId)).toMatchObject([{ status: 'lost' }, { status: 'succeeded' }]);
  });
});

describe('while the api is away', () => {
  it('a step runs on, and its logs, outputs and end arrive later', async () => {
    const outputs: StepSpec['outputs'] = { model: { kind: 'file', path: 'model' } };
    const go = join(lab.folder, 'go');
    const script = `echo up; while [ ! -e ${go} ]; do sleep 0.05; done; echo down; printf w > model`;
    const { runId } = await lab.begin(shell(script, { outputs }));
    const ending = runStep(lab, runId);
    await untilLogged(runId, 'up');
    await lab.stopApi();
    mkdirSync(go);
    await sleep(1_000); // the step ends meanwhile; nothing depends on when
    await lab.startApi();
    expect(artifactOf(await ending, 'model')).toMatch(/^[0-9a-f]{64}$/);
    expect(await lab.logs(runId)).toEqual(['stdout: up', 'stdout: down']);
  });
});
