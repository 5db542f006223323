import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ReadyStack } from '../../dev/main';
import { buildOnce, startDev, type DevProcess } from '../support/dev-stack';

/** What docs/pipelines.md and examples/ show is run as its readers run it. */
const ROOT = join(__dirname, '..', '..');
const CLI = join(ROOT, 'dist/cli/main.js');
const PAGE = readFileSync(join(ROOT, 'docs/pipelines.md'), 'utf8');
const SHOWN = [...PAGE.matchAll(/^```yaml\n(.*?)^```$/gms)]
  .map((match) => match[1] ?? '')
  .filter((yaml) => !yaml.startsWith('# refused'));

let folder = '';
let dev: DevProcess;
let stack: ReadyStack;
jest.setTimeout(120_000);
beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-e2e-docs-'));
  const PATH = [join(ROOT, '.venv/bin'), process.env['PATH']].join(delimiter);
  dev = startDev(['--ephemeral', '--port', '0'], { PATH });
  stack = await dev.ready;
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a pipeline to its end; everything it said is shown if it does not succeed. */
function run(file: string): void {
  const args = [CLI, '--api', stack.api, 'run', 'start', file, '--follow'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
}

describe('a reader of docs/pipelines.md', () => {
  it.each(SHOWN.map((yaml, i) => ({ number: i + 1, yaml })))(
    'runs YAML block $number',
    ({ number, yaml }) => {
      const own = join(folder, String(number)); // the folder goes to the worker as it is
      mkdirSync(own);
      const head = yaml.startsWith('version: 1') ? '' : 'version: 1\nname: shown\n';
      writeFileSync(join(own, 'pipeline.yaml'), head + yaml);
      run(join(own, 'pipeline.yaml'));
    },
  );

  it.each(['02-python/pipeline.yaml', '03-typescript/pipeline.ts'])('runs examples/%s', (name) => {
    run(join(ROOT, 'examples', name));
  });
});
