import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check } from '../../cli/checks';
import { freePort } from '../../dev/ports';
import { jsonLines, runCli, startCli, type Ended, type Running } from '../support/cli';
import { PIPELINES, WRONG_WORDS } from '../support/cli-pipelines';
import { buildOnce, eventually, startDev, type DevProcess } from '../support/dev-stack';

const EXAMPLES = join(__dirname, '..', '..', 'examples');
/** More than two pages of the api, and more than a pipe holds. */
const MANY_LINES = 2_500;
type Diagnosis = Readonly<{ ok: boolean; checks: readonly Check[] }>;

let folder: string;
let dev: DevProcess;
let api: string;
let pids: Readonly<Record<string, number>>;

jest.setTimeout(120_000);
beforeAll(async () => {
  buildOnce();
  folder = mkdtempSync(join(tmpdir(), 'anneal-e2e-cli-'));
  for (const [name, text] of Object.entries(PIPELINES)) writeFileSync(join(folder, name), text);
  dev = startDev(['--ephemeral', '--port', '0']);
  ({ api, pids } = await dev.ready);
});
afterAll(async () => {
  dev.child.kill('SIGTERM');
  await dev.ended;
  rmSync(folder, { recursive: true, force: true });
});

function anneal(...args: string[]): Promise<Ended> {
  return runCli(args, { cwd: folder, env: { ANNEAL_API: api } });
}
function startAnneal(...args: string[]): Running {
  return startCli(args, { cwd: folder, env: { ANNEAL_API: api } });
}
/** Starts a run and returns its id: the only thing on stdout. */
async function startRun(...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await anneal('run', 'start', ...args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toMatch(/^\S+\n$/);
  expect(stderr).toContain(`anneal run logs ${stdout.trim()} --follow`);
  return stdout.trim();
}
/** Pauses a run of one step that is under way, and changes its priority. */
async function steer(id: string): Promise<void> {
  expect(await anneal('run', 'pause', id, '--reason', 'lunch')).toMatchObject({ stdout: '' });
  expect((await anneal('run', 'show', id)).stderr).toContain('ticks running (paused)');
  expect(await read('run', 'priority', id, '1')).toMatchObject({ isPaused: true, priority: 1 });
  await anneal('run', 'deadline', id, '+2d');
  expect((await anneal('run', 'show', id)).stderr).toContain('priority 1, due at ');
  expect(await read('run', 'continue', id)).toMatchObject({ isPaused: false });
  const stderr = expect.stringContaining("the step 'tick' has not failed") as string;
  expect(await anneal('run', 'retry', id, 'tick')).toMatchObject({ code: 7, stderr });
}
async function read<T = unknown>(...args: string[]): Promise<T> {
  const { stdout, stderr, code } = await anneal(...args, '-o', 'json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

describe('anneal run', () => {
  it('starts a pipeline, follows it, shows it and lists it', async () => {
    expect(await read('run', 'ls', '--pipeline', 'hello')).toEqual([]); // no note instead
    const id = await startRun('hello.yaml', '-p', 'who=5', '-p', 'n=2', '-p', 'must=a=b');
    const followed = await anneal('run', 'logs', id, '--follow');
    expect(followed).toMatchObject({ code: 0, stdout: 'hello#1 | hello 5 2 a=b\n' });
    expect(followed.stderr).toContain(`Run ${id} succeeded`);
    const shown = await read('run', 'show', id);
    expect(shown).toMatchObject({
      id,
      status: 'succeeded',
      params: { who: '5', n: 2, rate: 0.5, must: 'a=b' },
      steps: [{ key: 'hello', status: 'succeeded' }],
    });
    expect(await read('run', 'ls', '--status', 'succeeded')).toMatchObject([{ id }]);
    const { stdout } = await anneal('run', 'ls');
    expect(stdout).toMatch(new RegExp(`^ID .*\\n${id}  hello +succeeded`, 'm'));
  });

  it('follows as one JSON object per line, each step ending behind its lines', async () => {
    const args = ['run', 'start', 'hello.yaml', '-p', 'must=x', '--follow', '-o', 'json'];
    const { code, stdout, stderr } = await anneal(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = jsonLines(stdout);
    expect(lines.map(({ type, state, text, status }) => state ?? text ?? type ?? status)).toEqual([
      ...['run', 'ready', 'started', 'hello world 1 x', 'succeeded', 'run'],
    ]);
    expect(lines.at(-1)).toMatchObject({ status: 'succeeded', id: lines[0]?.['id'] });
  });

  it("lists a step's cards and prints one as it was written", async () => {
    const { stderr } = await anneal('run', 'start', 'card.yaml', '--follow');
    const [, id = ''] = /Following (\S+)\./.exec(stderr) ?? [];
    const { stdout } = await anneal('run', 'card', id, 'tell');
    expect(stdout).toMatch(/^CARD .*\ncurve\.json +1 +14 .*\nreport\.md +1 +11 .*\n$/);
    const report = await anneal('run', 'card', id, 'tell', 'report.md', '--attempt', '1');
    expect(report).toEqual({ code: 0, stdout: '# It works\n', stderr: '' });
    const card = await read('run', 'card', id, 'tell', 'curve.json');
    expect(card).toEqual({ name: 'curve.json', text: '{"loss": 0.5}\n' });
    const none = await anneal('run', 'card', id, 'tell', 'none.md');
    expect(none.stderr).toContain("No card 'none.md' was found");
    expect(none.code).not.toBe(0);
  });

  it('starts one run for one run key', async () => {
    const args = ['hello.yaml', '-p', 'must=x', '--run-key', 'once'];
    expect(await startRun(...args)).toBe(await startRun(...args));
  });

  it('tells of a failed step: its last lines, and how to see the others', async () => {
    const { code, stderr, stdout } = await anneal('run', 'start', 'broken.yaml', '--follow');
    expect(code).toBe(5);
    expect(stdout).toContain('broken#1 | line 20\n');
    const [, end = ''] = stderr.split('Step broken failed. Its last lines:\n');
    expect(end).toMatch(/^ {2}line 13\n(.*\n)+ {2}line 20\n {2}the disk is on fire\n/);
    const [, id = '', step = ''] = /anneal run logs (\S+) --step '(\S+)'/.exec(end) ?? [];
    expect((await anneal('run', 'logs', id, '--step', step)).stdout).toContain('| line 1\n');
    const asJson = await anneal('run', 'logs', id, '--follow', '-o', 'json');
    expect(asJson).toMatchObject({ code: 5, stderr: '' });
    const { stderr: hint } = await anneal('run', 'show', id);
    expect(hint).toContain(`anneal run logs ${id} --step 'broken'`);
  });

  it('names a script that is not there', async () => {
    const { code, stderr } = await anneal('run', 'start', 'script.yaml', '--follow');
    expect(code).toBe(5);
    expect(stderr).toContain('missing.py');
    expect(stderr).toContain('No such file or directory');
  });

  it('prints every line of a long log in order, and stops without noise when nobody reads', async () => {
    const id = await startRun('many.yaml', '-p', `count=${MANY_LINES}`);
    const all = await anneal('run', 'logs', id, '--follow');
    const expected = Array.from({ length: MANY_LINES }, (_, i) => `count#1 | ${i + 1}`);
    expect(all.stdout.trimEnd().split('\n')).toEqual(expected);
    const cut = startAnneal('run', 'logs', id, '-o', 'json');
    cut.child.stdout?.destroy(); // as `| head` does
    expect(await cut.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('leaves the run going at Ctrl-C, says how to come back, and cancels it when asked', async () => {
    const id = await startRun('ticks.yaml', '-p', 'count=600', '-p', 'pause=0.1');
    const following = startAnneal('run', 'logs', id, '--follow');
    await eventually('a line came', () => following.stdout().includes('tick#1 | 2\n'));
    following.child.kill('SIGINT');
    const { code, stderr } = await following.ended;
    expect(code).toBe(130);
    expect(stderr).toContain(`anneal run logs ${id} --follow\n`);
    expect(stderr).toContain(`anneal run cancel ${id}\n`);
    expect(await read('run', 'show', id)).toMatchObject({ status: 'running' });
    await steer(id);
    expect(await read('run', 'cancel', id)).toMatchObject({ id });
    const followed = await anneal('run', 'logs', id, '--follow');
    expect(followed.code).toBe(6);
    expect(followed.stderr).toContain(`Run ${id} cancelled`);
    const again = await anneal('run', 'cancel', id);
    expect(again.code).toBe(7);
    expect(again.stderr).toContain('(INVALID_STATE)');
  });

  it('goes on following when the api was killed, without a line lost or twice', async () => {
    const args = ['ticks.yaml', '-p', 'count=40', '-p', 'pause=0.1'];
    const following = startAnneal('run', 'start', ...args, '--follow');
    await eventually('a line came', () => following.stdout().includes('tick#1 | 5\n'));
    process.kill(pids['api'] ?? 0, 'SIGKILL');
    const { code, stdout } = await following.ended;
    expect(code).toBe(0);
    const expected = Array.from({ length: 40 }, (_, i) => `tick#1 | ${i + 1}`);
    expect(stdout.trimEnd().split('\n')).toEqual(expected);
  });
});

describe('wrong words', () => {
  it.each(WRONG_WORDS)('are told: %s', async (...[, args, code, text]) => {
    const ended = await anneal(...args);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toContain(text);
    expect(ended.stderr).not.toMatch(/^ +at /m); // no stack
  });

  it('are one problem+json object for programs', async () => {
    const usage = await anneal('run', 'ls', '--limit', '0', '-o', 'json');
    expect(usage).toMatchObject({ code: 2, stdout: '' });
    expect(JSON.parse(usage.stderr)).toMatchObject({ code: 'INVALID_ARGUMENT', status: 400 });
    const plan = await anneal('run', 'start', 'input.yaml', '-o', 'json');
    expect(plan).toMatchObject({ code: 2, stdout: '' });
    expect(JSON.parse(plan.stderr)).toMatchObject({
      type: 'urn:anneal:error:INVALID_PLAN',
      errors: [{ file: 'input.yaml', line: 4, column: 31, path: 'steps.a.inputs.x' }],
    });
  });

  it('are told: a step that the run has not', async () => {
    const id = await startRun('hello.yaml', '-p', 'must=x');
    await anneal('run', 'logs', id, '--follow');
    const { code, stderr } = await anneal('run', 'logs', id, '--step', 'helo');
    expect(code).toBe(3);
    expect(stderr).toContain("Did you mean 'hello'?");
  });
});

describe('a server that does not answer', () => {
  it('is named, with what to do', async () => {
    const away = `http://127.0.0.1:${await freePort()}`;
    const [ls, start] = await Promise.all([
      anneal('run', 'ls', '--api', away),
      anneal('run', 'start', 'hello.yaml', '-p', 'must=x', '--api', away),
    ]);
    for (const { code, stdout, stderr } of [ls, start]) {
      expect({ code, stdout }).toEqual({ code: 8, stdout: '' });
      expect(stderr).toContain(`Nothing answers at ${away}. Is 'anneal dev' or the api running?`);
    }
  });

  it('is Temporal: nothing is started, doctor finds it, and reading goes on', async () => {
    const temporal = pids['temporal'] ?? 0;
    process.kill(temporal, 'SIGSTOP');
    try {
      const [started, doctor, listed] = await Promise.all([
        anneal('run', 'start', 'hello.yaml', '-p', 'must=x'),
        anneal('doctor', '-o', 'json'),
        anneal('run', 'ls'),
      ]);
      expect(started).toMatchObject({ code: 8, stdout: '' });
      expect(started.stderr).toContain('(TEMPORAL_UNAVAILABLE)');
      expect(doctor.code).toBe(1);
      const { ok, checks } = JSON.parse(doctor.stdout) as Diagnosis;
      expect(ok).toBe(false);
      const bad = checks.filter(({ state }) => state === 'fail');
      expect(bad).toMatchObject([{ name: 'temporal' }]);
      expect(bad[0]?.advice).toContain('TEMPORAL_ADDRESS');
      expect(listed.code).toBe(0);
    } finally {
      process.kill(temporal, 'SIGCONT');
    }
  });
});

describe('anneal model, doctor and token', () => {
  it('show what a pipeline registered', async () => {
    expect(await read('model', 'ls')).toEqual([]);
    const file = join(EXAMPLES, '01-digits', 'pipeline.ts');
    const params = ['-p', 'epochs=2', '-p', 'lrs=[0.1]', '-p', 'min_accuracy=0'];
    const { code } = await anneal('run', 'start', file, ...params, '--follow');
    expect(code).toBe(0);
    const [ls, show, asTable, shown] = await Promise.all([
      read('model', 'ls'),
      read('model', 'show', 'digits'),
      anneal('model', 'ls'),
      anneal('model', 'show', 'digits'),
    ]);
    const aliases = [{ alias: 'champion', version: 1 }];
    expect(ls).toMatchObject([{ name: 'digits', newestVersion: 1, aliases }]);
    expect(show).toMatchObject({ versions: [{ version: 1 }] });
    expect(asTable.stdout).toMatch(/^digits +1 +champion=1 /m);
    expect(shown.stdout).toMatch(/^1 +champion .* anneal:/m);
  });

  it('check the machine and the stack', async () => {
    const { ok, checks } = await read<Diagnosis>('doctor');
    expect(ok).toBe(true);
    const names = checks.map(({ name }) => name);
    const parts = ['postgres', 'clickhouse', 'objects', 'temporal'];
    expect(names).toEqual(expect.arrayContaining(['node', 'disk', 'api', 'access', ...parts]));
  });

  it('check the machine alone where nothing runs', async () => {
    const env = { ANNEAL_PORT: String(await freePort()) };
    writeFileSync(join(folder, 'file'), '');
    const [idle, blocked, bare] = await Promise.all([
      runCli(['doctor'], { cwd: folder, env }),
      runCli(['doctor', '--data', 'file'], { cwd: folder, env }),
      runCli(['doctor'], { cwd: folder, env: { ...env, PATH: '', HOME: folder } }),
    ]);
    expect([idle.code, blocked.code, bare.code]).toEqual([0, 1, 1]);
    expect(idle.stdout).toMatch(/^warn +api +nothing answers at .*\n +→ .*: anneal dev$/m);
    expect(blocked.stdout).toMatch(/^fail +data folder /m);
    expect(bare.stdout).toMatch(
      /^fail +temporal program .*\n +→ run: npm run setup, or set TEMPORAL_ADDRESS$/m,
    );
  });

  it('make a token', async () => {
    const { token } = await read<{ token: string }>('token', 'user');
    expect(token).toMatch(/^anl_user_/);
    const plain = await anneal('token', 'node');
    expect(plain.stdout).toMatch(/^anl_node_\S+\n$/);
    expect(plain.stderr).toContain('ANNEAL_NODE_TOKEN');
  });

  it('give help on stdout', async () => {
    const help = await anneal('--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('Exit codes: 0 ok');
  });
});
