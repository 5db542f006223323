import { cpus, totalmem } from 'node:os';
import type { RunDiff } from '../../schemas/pipeline-runs';
import { plan, step } from '../support/plans';
import { openStepLab, runStep, shell, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

describe('the environment of an attempt', () => {
  it('is kept with it: command, code, machine, Python with its packages, chosen variables', async () => {
    const env = { OMP_NUM_THREADS: '4', MY_PASSWORD: 'no' };
    const { runId } = await lab.begin(shell('python3 -c "print(1)"', { env }), {
      files: { 'a.py': '' },
    });
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    const [attempt] = await lab.attempts(runId);
    const seen = attempt?.environment;
    expect(seen).toMatchObject({
      command: 'sh -c python3 -c "print(1)"',
      codeDigest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      cpu: expect.stringMatching(new RegExp(`^${cpus().length} × `)) as string,
      memoryBytes: totalmem(),
      node: process.version,
      python: { version: expect.stringMatching(/^3\.\d+/) as string },
      variables: { OMP_NUM_THREADS: '4' },
    });
    expect(seen?.python?.packages).toEqual(
      expect.arrayContaining([expect.stringMatching(/^pip==\d/)]),
    );
    expect(JSON.stringify(seen)).not.toContain('MY_PASSWORD');
  });

  it('names no Python for a step without one', async () => {
    const { runId } = await lab.begin(shell('true'));
    await runStep(lab, runId);
    const [attempt] = await lab.attempts(runId);
    expect(attempt?.environment).toMatchObject({ command: 'sh -c true', codeDigest: null });
    expect(attempt?.environment?.python).toBeUndefined();
  });

  it('is compared where two runs are, step by step, by the newest attempts; seeds do not count', async () => {
    const each = step('train', {
      foreach: { i: 'params.items' },
      argv: ['true'],
      env: { OMP_NUM_THREADS: '${{ params.threads }}' },
    });
    const alone = step('alone', { argv: ['true'] });
    const given = plan([each, alone], { items: { type: 'list' }, threads: { type: 'number' } });
    const make = async (threads: number): Promise<string> => {
      const { runId } = await lab.begin(given, { params: { items: [1, 2], threads } });
      for (const stepKey of ['train[0]', 'train[1]', 'alone']) {
        await runStep(lab, runId, { stepKey });
      }
      return runId;
    };
    const [a, b, again] = [await make(4), await make(8), await make(4)];
    const diff = (to: string): Promise<RunDiff> =>
      lab.user.get<RunDiff>(`/api/v1/pipeline-runs/${a}/diff/${to}`);
    expect((await diff(b)).environments).toEqual([
      { changed: 'OMP_NUM_THREADS 4 → 8', steps: ['train[0]', 'train[1]'] },
    ]);
    expect((await diff(again)).environments).toEqual([]);
  });
});
