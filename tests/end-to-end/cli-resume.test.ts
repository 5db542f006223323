import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli, type Ended } from '../support/cli';
import { PIPELINES } from '../support/cli-pipelines';
import { buildOnce, startDev, type DevProcess } from '../support/dev-stack';

let folder: string;
let dev: DevProcess;
let api: string;

jest.setTimeout(120_000);
beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-e2e-resume-'));
  writeFileSync(join(folder, 'hello.yaml'), PIPELINES['hello.yaml'] ?? '');
  writeFileSync(join(folder, 'cached.yaml'), CACHED);
  dev = startDev(['--ephemeral', '--port', '0']);
  ({ api } = await dev.ready);
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(folder, { recursive: true, force: true });
});

function anneal(...args: string[]): Promise<Ended> {
  return runCli(args, { cwd: folder, env: { ANNEAL_API: api } });
}

/** The folder counts, and so do the files of both pipelines in it; nobody changes them. */
const CACHED = `version: 1
name: cached
params: { rows: 2 }
steps:
  prepare:
    run: seq \${{ params.rows }} > "$ANNEAL_OUTPUT_DIR/table"
    outputs: { table: dataset }
    cache: { ttl: 7d }
  use: { inputs: { table: steps.prepare.outputs.table }, run: 'cat \${{ inputs.table.path }}/table' }
`;

describe('a step with a cache', () => {
  it('is shown with where its result is from, or why it did its work', async () => {
    const start = async (...args: string[]): Promise<{ id: string; said: Ended }> => {
      const { stdout } = await anneal('run', 'start', 'cached.yaml', ...args);
      const id = stdout.trim();
      return { id, said: await anneal('run', 'logs', id, '--follow') };
    };
    const first = await start();
    const dry = await anneal('run', 'start', 'cached.yaml', '--dry-run', '-o', 'json');
    expect(JSON.parse(dry.stdout)).toEqual([
      { key: 'prepare', outcome: 'reuse', reason: `same content as run ${first.id}, step prepare` },
      { key: 'use', outcome: 'run', reason: 'it has no cache' },
    ]);
    const second = await start();
    expect(second.said).toMatchObject({ code: 0, stdout: 'use#1 | 1\nuse#1 | 2\n' });
    const reason = `same content as run ${first.id}, step prepare`;
    const lineage = await anneal('lineage', `step:${second.id}/prepare`);
    // the step that did the work, and both that were given its table
    expect(lineage.stdout.trimEnd().split('\n')).toEqual([
      expect.stringMatching(`^step prepare of cached, run ${first.id}, code \\w{12}$`),
      '  made of: nothing that is known',
      '  led to',
      expect.stringMatching(/^ {4}table: dataset \w{12}, 4 bytes$/),
      expect.stringMatching(`^ {6}table: step use of cached, run ${second.id}, code`),
      expect.stringMatching(`^ {6}table: step use of cached, run ${first.id}, code`),
    ]);
    const shown = await anneal('run', 'show', second.id);
    expect(shown.stdout).toMatch(/^STEP +STATUS +CACHE +PROGRESS/);
    expect(shown.stdout).toMatch(new RegExp(`prepare +succeeded +hit .*${reason}\n`));
    const third = await start('-p', 'rows=3');
    expect((await anneal('run', 'show', third.id)).stdout).toMatch(/prepare +succeeded +miss /);
    const why = await anneal('run', 'why', third.id, 'prepare');
    expect(why.stdout).toContain(
      `not from the cache: differs from run ${first.id}: param rows: 2 → 3, command changed`,
    );
    const json = await anneal('run', 'why', second.id, 'prepare', '-o', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject([
      { key: 'prepare', reason, cache: { hit: true, from: { runId: first.id } } },
    ]);
  });
});

describe('a step whose cache names files', () => {
  it('does its work again when one of them has changed, and not for others', async () => {
    const own = join(folder, 'own');
    mkdirSync(join(own, 'data'), { recursive: true });
    const file = (key: string): string =>
      `version: 1\nname: files\nsteps: { count: { run: wc -l data/a, cache: { key: ["${key}"] } } }\n`;
    writeFileSync(join(own, 'files.yaml'), file('data/**'));
    writeFileSync(join(own, 'wrong.yaml'), file('dta/**'));
    writeFileSync(join(own, 'data/a'), 'one\n');
    const run = async (): Promise<string> => {
      const { stdout } = await anneal('run', 'start', 'own/files.yaml');
      await anneal('run', 'logs', stdout.trim(), '--follow');
      const shown = await anneal('run', 'show', stdout.trim(), '-o', 'json');
      const { steps } = JSON.parse(shown.stdout) as { steps: { cache: { explanation: string } }[] };
      return steps[0]?.cache.explanation ?? '';
    };
    expect(await run()).toMatch(/^no result/);
    writeFileSync(join(own, 'notes'), 'another file\n');
    expect(await run()).toMatch(/^same content as run/);
    writeFileSync(join(own, 'data/a'), 'one\ntwo\n');
    const dry = await anneal('run', 'start', 'own/files.yaml', '--dry-run');
    expect(dry.stdout).toMatch(/count +run +differs from run .*: files changed\n/);
    expect(await run()).toMatch(/: files changed$/);
    const wrong = await anneal('run', 'start', 'own/wrong.yaml');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("No file of the project fits 'dta/**'");
  });
});

describe('anneal run resume', () => {
  it('says what it would take, takes it, and shows in what the runs differ', async () => {
    const started = await anneal('run', 'start', 'hello.yaml', '-p', 'who=5', '-p', 'must=a');
    const id = started.stdout.trim();
    expect((await anneal('run', 'logs', id, '--follow')).code).toBe(0);
    const dry = await anneal('run', 'resume', id, '--dry-run', '-o', 'json');
    const reason = `same content as run ${id}, step hello`;
    expect(JSON.parse(dry.stdout)).toEqual([{ key: 'hello', outcome: 'reuse', reason }]);
    const same = await anneal('run', 'resume', id, '--follow');
    expect(same).toMatchObject({ code: 0, stdout: '' });
    expect(same.stderr).toContain(`hello cached (${reason})`);
    const other = await anneal('run', 'resume', id, '-p', 'who=6', '--follow');
    expect(other).toMatchObject({ code: 0, stdout: 'hello#1 | hello 6 1 a\n' });
    const listed = await anneal('run', 'ls', '--limit', '1', '-o', 'json');
    const [newest] = JSON.parse(listed.stdout) as { readonly id: string }[];
    const { code, stdout } = await anneal('run', 'diff', id, newest?.id ?? '');
    expect(code).toBe(0);
    expect(stdout).toMatch(/param who +"5" +"6"\n/);
    expect(stdout).toMatch(/hello +succeeded +succeeded +param who: "5" → "6", command changed\n/);
    const wrong = await anneal('run', 'resume', id, '--from', 'helo');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("Did you mean 'hello'?");
  });
});

describe('the commit of the code', () => {
  it('is kept with the run, with whether files differed from it', async () => {
    const project = join(folder, 'repository');
    mkdirSync(join(project, 'ignored'), { recursive: true });
    const git = (...words: string[]): string => {
      const who = ['-c', 'user.name=ada', '-c', 'user.email=ada@example.com'];
      return execFileSync('git', [...who, '-C', project, ...words], { encoding: 'utf8' }).trim();
    };
    const hello = PIPELINES['hello.yaml'] ?? '';
    for (const at of ['', 'ignored/']) writeFileSync(join(project, `${at}hello.yaml`), hello);
    writeFileSync(join(project, '.gitignore'), 'ignored\n');
    const start = async (file: string): Promise<{ id: string; git: unknown }> => {
      const args = ['run', 'start', file, '-p', 'must=x', '-o', 'json'];
      const { stdout, stderr } = await anneal(...args);
      expect(stderr).toMatch(/^(warning: \.env looks like a secret .*\n)?$/);
      return JSON.parse(stdout) as { id: string; git: unknown };
    };
    git('init', '-q');
    expect((await start('repository/hello.yaml')).git).toBeNull(); // no commit yet
    git('add', '.');
    git('commit', '-q', '-m', 'first');
    const commit = git('rev-parse', 'HEAD');
    const clean = await start('repository/hello.yaml');
    expect(clean.git).toEqual({ commit, isDirty: false });
    writeFileSync(join(project, 'new.txt'), 'x');
    const dirty = await start('repository/hello.yaml');
    expect(dirty.git).toEqual({ commit, isDirty: true });
    expect((await start('repository/ignored/hello.yaml')).git).toBeNull();
    const short = commit.slice(0, 12);
    const shown = await anneal('run', 'show', dirty.id);
    expect(shown.stderr).toContain(`Code of commit ${short} + changes\n`);
    const differ = await anneal('run', 'diff', clean.id, dirty.id);
    expect(differ.stdout).toMatch(new RegExp(`^git +${short} +${short} \\+ changes$`, 'm'));
    expect((await anneal('run', 'patch', dirty.id)).code).toBe(3); // git knows no line of a new file
    writeFileSync(join(project, '.env'), 'TOKEN=old');
    git('add', '-f', '.env', 'new.txt');
    git('commit', '-q', '-m', 'second');
    writeFileSync(join(project, '.env'), 'TOKEN=secret');
    writeFileSync(join(project, 'new.txt'), 'y\n');
    const changed = await start('repository/hello.yaml');
    expect(changed.git).toMatchObject({ isDirty: true, patchDigest: expect.any(String) as string });
    const { stdout: patch } = await anneal('run', 'patch', changed.id);
    expect(patch).toMatch(/^diff --git a\/new.txt b\/new.txt\n[^]*\n-x\n[^]*\+y\n$/);
    expect(patch).not.toContain('TOKEN');
    const follow = await anneal('run', 'logs', dirty.id, '--follow');
    expect(follow.code).toBe(0);
    const resumed = await anneal('run', 'resume', dirty.id, '-o', 'json');
    expect(JSON.parse(resumed.stdout)).toMatchObject({ git: { commit, isDirty: true } });
  });
});
