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
  'card.yaml': `
version: 1
name: card
steps:
  tell:
    run: |
      echo '# It works' > "$ANNEAL_CARD_DIR/report.md"
      echo '{"loss": 0.5}' > "$ANNEAL_CARD_DIR/curve.json"
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

const start = ['run', 'start'];
type WrongWords = readonly [what: string, args: string[], exitCode: number, told: string];
/** Commands that cannot be carried out, some on files of PIPELINES. */
export const WRONG_WORDS: readonly WrongWords[] = [
  ['an unknown command', ['run', 'strat'], 2, 'Did you mean start?'],
  ['no command', ['run'], 2, 'Usage: anneal run'],
  ['an unknown flag', ['run', 'ls', '--nope'], 2, "unknown option '--nope'"],
  ['a port', ['dev', '--port', 'x'], 2, 'a whole number from 0 to 65535'],
  ['an address', ['run', 'ls', '--api', 'nowhere'], 2, "'nowhere' is not the address of an api"],
  ['an unknown run', ['run', 'show', 'nope'], 3, "No pipeline run 'nope' was found."],
  ['logs of none', ['run', 'logs', 'nope', '--follow'], 3, "No pipeline run 'nope' was found."],
  ['an unknown model', ['model', 'show', 'nope'], 3, "No registered model 'nope' was found."],
  ['a bad token', ['run', 'ls', '--token', 'x'], 4, '(UNAUTHENTICATED)'],
  ['no file', [...start, 'no.yaml'], 3, "No pipeline file 'no.yaml' can be read."],
  ['no folder', [...start, 'hello.yaml', '-p', 'must=x', '--code', 'no'], 2, 'is no folder'],
  ['bad YAML', [...start, 'syntax.yaml'], 2, 'syntax.yaml:4:16: '],
  ['a cycle', [...start, 'cycle.yaml'], 2, 'circle: a → b → a'],
  ['no such input', [...start, 'input.yaml'], 2, 'input.yaml:4:31: steps.a.inputs.x: '],
  ['bad TypeScript', [...start, 'code.ts'], 2, 'code.ts:3:1'],
  ['no pipeline', [...start, 'none.ts'], 2, 'must have a pipeline as its default export'],
  ['a missing parameter', [...start, 'hello.yaml'], 2, 'params.must: has no default'],
  ['a type', [...start, 'hello.yaml', '-p', 'n=x'], 2, 'params.n: must be a number, not "x"'],
  ['a bound', [...start, 'hello.yaml', '-p', 'rate=2'], 2, 'params.rate: must be at most 1'],
  ['a typing error', [...start, 'hello.yaml', '-p', 'mist=1'], 2, "Did you mean 'must'?"],
  ['a priority', ['run', 'priority', 'nope', '6'], 2, 'is not a whole number from 1 to 5'],
  ['a deadline', ['run', 'deadline', 'nope', 'soon'], 2, 'is neither a time, such as'],
  ['a past deadline', [...start, 'hello.yaml', '--deadline', '2020-01-01T00:00Z'], 2, 'has passed'],
  ['a thing of no kind', ['lineage', 'digits'], 2, 'model:NAME@ALIAS'],
  ['a step of no run', ['run', 'skip', 'nope', 'a'], 3, "No pipeline run 'nope' was found."],
];
