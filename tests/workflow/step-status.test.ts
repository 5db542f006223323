import { existsSync, writeFileSync } from 'node:fs';
import type { Progress, Step } from '../../schemas/pipeline-runs';
import { openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

/** A step that writes its status file as given, at once and in place. */
function says(text: string): string {
  return `cat > "$ANNEAL_STATUS_FILE" <<'END'\n${text}\nEND`;
}
async function progressOf(runId: string): Promise<Progress | null | undefined> {
  const { steps } = await lab.user.get<{ steps: Step[] }>(`/api/v1/pipeline-runs/${runId}/steps`);
  const [attempt] = await lab.attempts(runId);
  expect(steps[0]?.progress).toEqual(attempt?.progress);
  return attempt?.progress;
}

describe('the status file of a step', () => {
  it('is shown at the attempt and the step while it runs, and its last word stays', async () => {
    const script = `
      echo '{"progress": 0.25, "eta_seconds": 90, "message": "epoch 1 of 4", "metrics": {"loss": 2.5}}' > s
      mv s "$ANNEAL_STATUS_FILE"
      while [ ! -e "$GO" ]; do sleep 0.05; done
      echo '{"progress": 1}' > s && mv s "$ANNEAL_STATUS_FILE"`;
    const go = `${lab.folder}/go`;
    const { runId } = await lab.begin(shell(script, { env: { GO: go } }));
    const outcome = runStep(lab, runId);
    await until(async () => (await lab.attempts(runId))[0]?.progress != null);
    expect(await progressOf(runId)).toEqual({
      fraction: 0.25,
      etaSeconds: 90,
      message: 'epoch 1 of 4',
      metrics: { loss: 2.5 },
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    });
    writeFileSync(go, '');
    expect(await outcome).toMatchObject({ kind: 'succeeded' });
    expect(await progressOf(runId)).toMatchObject({ fraction: 1, message: null, metrics: {} });
  });

  it('of a step that says nothing is nothing', async () => {
    const { runId } = await lab.begin(shell('true'));
    await runStep(lab, runId);
    expect(await progressOf(runId)).toBeNull();
  });

  it.each([
    ['half of it', '{"progress": 0.', 'ANNEAL_STATUS_FILE is not valid JSON'],
    ['nothing in it', '', 'ANNEAL_STATUS_FILE is empty'],
    ['NaN', '{"metrics": {"loss": NaN}}', 'JSON has no NaN and no Infinity'],
    ['a list', '[0.5]', 'ANNEAL_STATUS_FILE holds no JSON object'],
    ['percent', '{"progress": 40}', "'progress' must be a number from 0 to 1"],
    ['text for a number', '{"progress": "0.4"}', "'progress' must be a number from 0 to 1"],
    ['text for metrics', '{"metrics": "good"}', "'metrics' must map at most 100 names"],
    ['70 KiB', `{"message": "${'x'.repeat(70_000)}"}`, 'is larger than 64 KiB'],
  ])('with %s is no failure: the log says once what is wrong', async (...[, text, note]) => {
    const { runId } = await lab.begin(shell(`${says(text)}\necho done`));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    const notes = (await lab.logs(runId)).filter((line) => line.startsWith('anneal: '));
    expect(notes).toEqual([expect.stringContaining(note)]);
    expect(notes[0]).toContain('Write one JSON object such as {"progress": 0.4');
    expect(await progressOf(runId)).toBeNull();
  });

  it('may hold more than we read: the rest counts, the log names it once', async () => {
    const { runId } = await lab.begin(shell(says('{"progres": 0.1, "message": "on its way"}')));
    await runStep(lab, runId);
    expect(await progressOf(runId)).toMatchObject({ fraction: null, message: 'on its way' });
    expect(await lab.logs(runId)).toEqual([
      "anneal: ANNEAL_STATUS_FILE: 'progres' is not read; known are progress, eta_seconds, message, metrics.",
    ]);
  });

  it('keeps a message that Postgres could not', async () => {
    const { runId } = await lab.begin(shell(says(String.raw`{"message": "a\u0000b\ud83d"}`)));
    await runStep(lab, runId);
    expect(await progressOf(runId)).toMatchObject({ message: 'a\uFFFDb\uFFFD' });
  });

  it('is heard of a newer attempt only', async () => {
    const script = `
      echo "{\\"message\\": \\"attempt $ANNEAL_ATTEMPT\\"}" > "$ANNEAL_STATUS_FILE"; exit 1`;
    const { runId } = await lab.begin(shell(script));
    await runStep(lab, runId);
    await runStep(lab, runId, { attempt: 2 });
    const { steps } = await lab.user.get<{ steps: Step[] }>(`/api/v1/pipeline-runs/${runId}/steps`);
    expect(steps[0]?.progress).toMatchObject({ message: 'attempt 2' });
    const messages = (await lab.attempts(runId)).map(({ progress }) => progress?.message);
    expect(messages).toEqual(['attempt 1', 'attempt 2']);
  });
});

describe('a status file that is written while we look', () => {
  it('is not complained about: it is whole in the end', async () => {
    const go = `${lab.folder}/whole`;
    const script = `
      printf '{"message": "' > "$ANNEAL_STATUS_FILE"; touch "$GO.begun"
      while [ ! -e "$GO" ]; do printf x >> "$ANNEAL_STATUS_FILE"; sleep 0.05; done
      printf ' done"}' >> "$ANNEAL_STATUS_FILE"`;
    const { runId } = await lab.begin(shell(script, { env: { GO: go } }));
    let looks = 0; // as often as heartbeats
    const heartbeat = (): void => {
      if (existsSync(`${go}.begun`)) looks += 1;
    };
    const outcome = runStep(lab, runId, { heartbeat });
    await until(() => looks >= 4);
    writeFileSync(go, '');
    await outcome;
    expect(await lab.logs(runId)).toEqual([]);
    expect(await progressOf(runId)).toMatchObject({
      message: expect.stringMatching(/^x+ done$/) as string,
    });
  });
});
