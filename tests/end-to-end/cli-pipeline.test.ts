import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli, type Ended } from '../support/cli';
import { buildOnce } from '../support/dev-stack';

const SWEEP = `version: 1
name: sweep
params: { lrs: [0.1, 0.2] }
steps:
  prepare: { run: echo }
  train:
    after: [prepare]
    foreach: { lr: params.lrs }
    run: echo \${{ item.lr }}
  tell: { uses: builtin/nothing, after: [train] }
`;
let folder: string;

beforeAll(() => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-cli-pipeline-'));
  writeFileSync(join(folder, 'sweep.yaml'), SWEEP);
  writeFileSync(join(folder, 'a.yaml'), SWEEP.replace('after: [prepare]', 'aftr: [prepare]'));
  writeFileSync(join(folder, 'b.yaml'), SWEEP.replace('after: [train]', 'after: [trian]'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** No api is there, and none is asked. */
function pipeline(...args: string[]): Promise<Ended> {
  return runCli(['pipeline', ...args], { cwd: folder, env: { ANNEAL_API: 'http://127.0.0.1:1' } });
}

describe('anneal pipeline', () => {
  it('says that a file is valid, and which plan it makes', async () => {
    const { code, stdout } = await pipeline('validate', 'sweep.yaml', '-o', 'json');
    expect(code).toBe(0);
    const id: unknown = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(JSON.parse(stdout)).toEqual([{ file: 'sweep.yaml', name: 'sweep', steps: 3, id }]);
  });

  it('names the mistakes of all files with their places', async () => {
    const { code, stdout, stderr } = await pipeline('validate', 'a.yaml', 'sweep.yaml', 'b.yaml');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain("a.yaml:7:5: steps.train.aftr: 'aftr' is not known here.");
    expect(stderr).toContain('b.yaml:10:');
    expect(stderr).toContain("Did you mean 'train'?");
  });

  it('says that a file is missing', async () => {
    const { code, stderr } = await pipeline('validate', 'sweep.yaml', 'nope.yaml');
    expect(code).toBe(3);
    expect(stderr).toContain("No pipeline file 'nope.yaml' can be read.");
  });

  it('shows the steps of a run with these params', async () => {
    const args = ['sweep.yaml', '-p', 'lrs=[1, 2, 3]'];
    expect((await pipeline('plan', ...args)).stdout.split('\n')).toEqual([
      '· prepare',
      '·   train [3 steps, 3 waiting] ← prepare',
      '·     tell ← train',
      '',
    ]);
    const { stdout } = await pipeline('plan', ...args, '-o', 'json');
    const { nodes, edges } = JSON.parse(stdout) as { nodes: { key: string }[]; edges: unknown[] };
    const items = ['train[0]', 'train[1]', 'train[2]'];
    expect(nodes.map(({ key }) => key).sort()).toEqual(['prepare', 'tell', 'train', ...items]);
    expect(edges).toEqual(
      expect.arrayContaining([
        { from: 'prepare', to: 'train[1]' },
        { from: 'train[1]', to: 'train' },
        { from: 'train', to: 'tell' },
      ]),
    );
    const wrong = await pipeline('plan', 'sweep.yaml', '-p', 'lrs=7');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('lrs');
  });

  it('prints YAML that makes the same plan, and the plan itself', async () => {
    const { stdout: yaml } = await pipeline('export', 'sweep.yaml');
    writeFileSync(join(folder, 'again.yaml'), yaml);
    const plans = await Promise.all(
      ['sweep.yaml', 'again.yaml'].map((file) => pipeline('export', file, '--to', 'plan')),
    );
    const [first, again] = plans.map(({ stdout }) => JSON.parse(stdout) as unknown);
    expect(first).toMatchObject({
      name: 'sweep',
      steps: [{ name: 'prepare' }, { name: 'train' }, {}],
    });
    expect(again).toEqual(first);
  });
});
