import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { renderPipelineSchema } from '../../scripts/pipeline-schema';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { PipelineFile } from '../../sdk/pipeline-schema';

const root = join(__dirname, '../..');
const everyKey = `
version: 1
name: p
on: { schedule: { cron: '0 3 * * *', timezone: UTC, overlap: allow, catch_up: 2h, jitter: 1m }, webhook: { params: { a: body.a } }, model: [{ name: m, params: { a: event.version } }, { name: m, event: alias, alias: c }], dataset: { pipeline: x, step: s, output: o } }
params: { a: 1, b: { type: list, default: [x] } }
defaults:
  retry: { max: 1, delay: 2s, backoff: 1.5, max_delay: 5m }
  timeout: 2h
  total_timeout: 1d
  pool: cpu
  env: { A: 1 }
  priority: 3
  secrets: [TOKEN]
  heartbeat: { timeout: 5m, from: [logs] }
  cache: { ttl: 7d, key: ["src/**", params.a] }
  parallel: 3
  min_success: 0.9
  stop_after: 2
  items_max: 2000
steps:
  one: { argv: [x], outputs: { m: { type: model, path: o }, l: { metric: l }, v: value }, after: [two] }
  two:
    run: x
    foreach: { i: params.b }
    parallel: 2
    min_success: 0.5
    stop_after: 5
    items_max: 10000
    retry: { on: [oom], delay: 1m }
    total_timeout: 3h
    priority: -1
    secrets: []
    heartbeat: { from: [metrics, status] }
    cache: true
    resources: { pool: gpu }
    checkpoint: { keep: 3, grace: 60s }
    if: params.a > 0
  three: { uses: ./a.ts#b, with: { k: [1, null] }, inputs: { m: steps.one.outputs.m } }
  four:
    foreach: { i: params.b, j: "[1, 2]" }
    if: params.a > 0
    parallel: 2
    steps:
      five: { run: x, outputs: { v: value } }
      six: { if: params.a > 1, steps: { seven: { run: x } }, else: { eight: { run: x } } }
    outputs: { v: steps.five.outputs.v }
    else: { nine: { run: x } }
on_success: [{ run: x }]
on_failure: [{ uses: builtin/notify, with: { message: "\${{ run.reason }}" } }]
always: [{ name: clean, argv: [x], timeout: 1m }]
`;

describe('docs/pipeline.schema.json', () => {
  it('is what scripts/pipeline-schema.ts writes', () => {
    const path = join(root, 'docs/pipeline.schema.json');
    expect(readFileSync(path, 'utf8')).toBe(renderPipelineSchema());
  });

  it.each([
    ['every key of the language', everyKey],
    ['the example', readFileSync(join(root, 'examples/01-digits/pipeline.yaml'), 'utf8')],
  ])('takes %s, as the compiler does', (_what, text) => {
    expect(() => compileYaml(text)).not.toThrow();
    expect(PipelineFile.safeParse(parse(text))).toMatchObject({ success: true });
  });

  it.each([
    ['an unknown key', 'steps: { a: { run: x, tiemout: 1h } }'],
    ['a bad duration', 'steps: { a: { run: x, timeout: soon } }'],
    ['a bad class', 'steps: { a: { run: x, retry: { on: [crsh] } } }'],
    ['a bad delay', 'steps: { a: { run: x, retry: { delay: 5 } } }'],
    ['a bad share', 'steps: { a: { run: x, foreach: { i: "[1]" }, min_success: 2 } }'],
    ['too many items', 'steps: { a: { run: x, foreach: { i: "[1]" }, items_max: 10001 } }'],
    ['a bad priority', 'steps: { a: { run: x, priority: 1000 } }'],
    ['a bad secret', 'steps: { a: { run: x, secrets: ["A B"] } }'],
    ['a bad sign of life', 'steps: { a: { run: x, heartbeat: { from: [pulse] } } }'],
    ['a bad cache', 'steps: { a: { run: x, cache: { ttl: soon } } }'],
    ['a bad key inside', 'steps: { a: { steps: { b: { run: x, tiemout: 1h } } } }'],
    [
      'a bad key of a handler',
      'steps: { a: { run: x } }\nalways: [{ run: x, foreach: { i: "[1]" } }]',
    ],
    ['a bad kind', 'steps: { a: { run: x, outputs: { m: modle } } }'],
    ['a bad step name', 'steps: { A: { run: x } }'],
    ['a bad trigger', 'on: { schedule: { evry: 1h } }\nsteps: { a: { run: x } }'],
    ['a bad default', 'defaults: { argv: [x] }\nsteps: { a: { run: x } }'],
  ])('refuses %s, as the compiler does', (_what, rest) => {
    const text = `version: 1\nname: p\n${rest}\n`;
    expect(() => compileYaml(text)).toThrow();
    expect(PipelineFile.safeParse(parse(text)).success).toBe(false);
  });
});
