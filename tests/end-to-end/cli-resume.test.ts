import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
