import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isAppError } from '../../errors/app-error';
import { loadPipeline } from '../../sdk/load-pipeline';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';
import { PlanRunner } from '../support/plan-runner';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-files-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `version: 1\nname: p\n${text}`);
  return path;
}
async function problemsOf(path: string): Promise<string[]> {
  try {
    await loadPipeline(path);
    return [];
  } catch (error) {
    if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
    return error.problems.map(({ path: at, line, message }) => `${at} (${line ?? 0}) ${message}`);
  }
}

const EVAL = `params: { lr: { type: number, min: 0 }, name: base, seeds: [1, 2] }
defaults: { pool: gpu }
steps:
  fit:
    foreach: { seed: params.seeds }
    run: train \${{ params.lr }} \${{ params.name }} \${{ item.seed }}
    outputs: { v: value }
  score:
    if: params.lr < 1
    uses: ./score.ts#score
    with: { lr: "\${{ params.lr }}", text: "lr=\${{ params.lr }}" }
    inputs: { runs: steps.fit.outputs }
    cache: { key: ["data/**", params.lr] }
    outputs: { v: value }
`;

describe('a pipeline file that another one uses', () => {
  it('becomes steps of its own, its params what they are given', async () => {
    write('sub/eval.yaml', EVAL);
    const main = write(
      'main.yaml',
      `params: { lrs: [0.1, 0.2] }
steps:
  eval:
    foreach: { lr: params.lrs }
    uses: ./sub/eval.yaml
    with: { lr: "\${{ item.lr }}", name: "a'b" }
    outputs: { v: steps.score.outputs.v }
`,
    );
    const plan = await loadPipeline(main);
    expect(plan.steps).toMatchObject([
      {
        name: 'eval',
        foreach: { lr: 'params.lrs' },
        outputs: { v: 'steps.score.outputs.v' },
        steps: [
          {
            name: 'fit',
            pool: 'gpu',
            foreach: { seed: '[1, 2]' },
            argv: ['train', '${{ item.lr }}', '${{ "a\'b" }}', '${{ item.seed }}'],
          },
          {
            name: 'score',
            if: 'item.lr < 1',
            uses: './sub/score.ts#score',
            with: { lr: '${{ item.lr }}', text: 'lr=${{ item.lr }}' },
            cache: { files: ['sub/data/**'], values: ['item.lr'] },
            needs: ['fit'],
          },
        ],
      },
    ]);
    // written out, it needs no other file
    expect(compileYaml(planToYaml(plan))).toEqual(plan);
    const run = new PlanRunner(plan, {}, ({ key }) => ({ v: { value: key } })).run();
    expect(run.read('steps.eval.outputs')).toMatchObject([
      { v: 'eval[0].score' },
      { v: 'eval[1].score' },
    ]);
  });

  it('may use others, from its own folder', async () => {
    write('a/b/leaf.yaml', 'params: { x: 1 }\nsteps: { s: { run: "x ${{ params.x }}" } }\n');
    write(
      'a/mid.yaml',
      'params: { y: 2 }\nsteps: { m: { uses: ./b/leaf.yaml, with: { x: "${{ params.y }}" } } }\n',
    );
    const main = write('main.yaml', 'steps: { t: { uses: ./a/mid.yaml, with: { y: 3 } } }\n');
    expect(await loadPipeline(main)).toMatchObject({
      steps: [
        { name: 't', steps: [{ name: 'm', steps: [{ name: 's', argv: ['x', '${{ 3 }}'] }] }] },
      ],
    });
  });

  it('tells its own mistakes with its own lines', async () => {
    write('bad.yaml', 'steps:\n  a: { run: x, tiemout: 1s }\n  b: { run: x, priority: 101 }\n');
    write('worse.yaml', 'steps: [\n');
    const main = write(
      'main.yaml',
      'steps:\n  t: { uses: ./bad.yaml }\n  u: { uses: ./worse.yaml }\n  v: { run: x, prioriti: 1 }\n',
    );
    const problems = await problemsOf(main);
    expect(problems).toEqual([
      "steps.t.uses (4) bad.yaml:4:16 steps.a.tiemout 'tiemout' is not known here. Did you mean 'timeout'?",
      expect.stringMatching(/^steps\.u\.uses \(5\) worse\.yaml:\d:\d+ Flow sequence/),
      "steps.v.prioriti (6) 'prioriti' is not known here. Did you mean 'priority'?",
    ]);
  });

  // prettier-ignore
  it.each<[string, string, string]>([
    ['a parameter that is unknown', 'with: { lr: 1, nam: x }', "steps.t.with.nam (4) is no parameter of 'p'. Did you mean 'name'?"],
    ['a parameter that is missing', 'with: { name: x }', "steps.t.with (4) needs 'lr': it has no default"],
    ['a value of the wrong type', 'with: { lr: high }', 'steps.t.with.lr (4) must be a number'],
    ['a value out of range', 'with: { lr: -1 }', 'steps.t.with.lr (4) must be at least 0'],
    ['a text with a value inside', 'with: { lr: 1, name: "x-${{ params.n }}" }', 'steps.t.with.name (4) must be a plain value, or one single'],
    ['a mapping in a list', 'with: { lr: 1, seeds: [{ a: 1 }] }', 'steps.t.with.seeds (4) must be a plain value'],
    ['a step with a name inside', 'with: { lr: "${{ steps.fit.outputs.v }}" }', "'steps.fit' means something else inside"],
    ['an item with a name inside', 'foreach: { seed: "[1]" }, with: { lr: "${{ item.seed }}" }', "'item.seed' means something else inside"],
    ['an output it does not have', 'with: { lr: 1 }, outputs: { v: steps.scor.outputs.v }', "Did you mean 'score'?"],
    ['a broken expression', 'with: { lr: "${{ 1 + }}" }', "expected a value"],
  ])('explains %s', async (_what, keys, part) => {
    write('eval.yaml', EVAL);
    const main = write('main.yaml', `steps:\n  t: { uses: ./eval.yaml, ${keys} }\n  fit: { run: x, outputs: { v: value } }\n`);
    expect((await problemsOf(main)).join('\n')).toContain(part);
  });

  it('stays inside the project, and out of circles', async () => {
    write('me.yaml', 'steps: { t: { uses: ./main.yaml } }\n');
    write('on.yaml', 'steps: { t: { run: x } }\nalways: [{ run: x }]\n');
    const main = write(
      'main.yaml',
      `steps:
  a: { uses: ./me.yaml }
  b: { uses: ../x.yaml }
  c: { uses: ./none.yaml }
  d: { uses: other.yaml }
  e: { uses: ./on.yaml }
`,
    );
    expect(await problemsOf(main)).toEqual([
      'steps.a.uses (4) me.yaml:3:15 steps.t.uses uses pipeline files in a circle: main.yaml → me.yaml → main.yaml.',
      'steps.b.uses (5) must be a file inside the project, for instance ./eval.yaml.',
      "steps.c.uses (6) no file 'none.yaml' can be read.",
      'steps.d.uses (7) must be a file inside the project, for instance ./eval.yaml.',
      'steps.e.uses (8) has handlers of its own, which only a run of its own could carry out.',
    ]);
    expect(() => compileYaml('version: 1\nname: p\nsteps: { a: { uses: ./x.yaml } }\n')).toThrow(
      'only a pipeline that is a YAML file can use',
    );
  });
});
