/** Small pipeline files, right and wrong: name → text. */
export const PIPELINES: Readonly<Record<string, string>> = {
  'hello.yaml': `
version: 1
name: hello
params: { who: world, n: 1, rate: { type: number, default: 0.5, max: 1 }, must: { type: string } }
steps:
  hello: { run: 'echo hello \${{ params.who }} \${{ params.n }} \${{ params.must }}' }
`,
  'broken.yaml': `
version: 1
name: broken
steps:
  fine: { run: echo fine }
  broken:
    after: [fine]
    retry: { max: 0 }
    run: |
      for i in $(seq 20); do echo line $i; done
      echo the disk is on fire >&2
      exit 3
`,
  'many.yaml': `
version: 1
name: many
params: { count: 1 }
steps:
  count: { run: 'seq \${{ params.count }}' }
`,
  'ticks.yaml': `
version: 1
name: ticks
params: { count: 1, pause: '0' }
steps:
  tick:
    run: |
      for i in $(seq \${{ params.count }}); do echo $i; sleep \${{ params.pause }}; done
`,
  'syntax.yaml': 'version: 1\nname: x\nsteps:\n  a: { run: [1 }\n',
  'cycle.yaml': `version: 1
name: cycle
steps:
  a: { after: [b], run: echo a }
  b: { after: [a], run: echo b }
`,
  'input.yaml': `version: 1
name: input
steps:
  a: { run: echo a, inputs: { x: steps.nope.outputs.y } }
`,
  'script.yaml': `version: 1
name: script
steps:
  a: { run: python3 missing.py, retry: { max: 0 } }
`,
  'code.ts': "import { pipeline } from 'anneal';\nexport default pipeline('x', {\n",
  'none.ts': 'export const a = 1;\n',
};
