import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { admitStepUser, type StepUser } from '../../steps/step-user';
import { openStepLab, runStep, shell, type StepLab } from '../support/step-lab';

const NOBODY: StepUser = { uid: 65_534, gid: 65_534 };
const SECRET = 'secret-of-the-node';
const isRoot = process.getuid?.() === 0;
let lab: StepLab;

beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

/** What a step worker says at its start with these settings; it never gets to Temporal. */
async function startWorker(settings: Record<string, string>, stdin = ''): Promise<string> {
  const program = join(lab.folder, 'workers', 'step.js');
  buildSync({
    entryPoints: [join(__dirname, '../../workers/step.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile: program,
  });
  const worker = spawn(process.execPath, [program], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], ANNEAL_API: lab.node.api, ...settings },
  });
  worker.stdin.end(stdin);
  let said = '';
  worker.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(worker, 'close')) as [number];
  expect(code).toBe(1);
  return said;
}

/** A node whose steps run as `nobody`, admitted as a worker does it at its start. */
function isolated(name: string): StepLab {
  const dataDir = join(lab.folder, name);
  const folder = join(dataDir, 'steps');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(lab.folder, 0o711);
  admitStepUser(NOBODY, { dataDir, folder, runner: lab.node.runner });
  return { ...lab, node: { ...lab.node, folder, user: NOBODY } };
}

describe('ANNEAL_STEP_USER', () => {
  const settings = (user: string): Record<string, string> => ({
    ANNEAL_NODE_TOKEN: SECRET,
    ANNEAL_STEP_USER: user,
    ANNEAL_DATA_DIR: join(lab.folder, 'boot'),
  });

  it.each(['nobody', '1:', '-1', '1:2:3'])('does not take %j', async (user) => {
    expect(await startWorker(settings(user))).toMatch(/ANNEAL_STEP_USER: must be numbers/);
  });

  it("refuses root and the worker's own user", async () => {
    expect(await startWorker(settings('0'))).toMatch(/is root, which protects nothing/);
  });

  it('says at the start if the worker may not run steps as that user', async () => {
    const place = join(lab.folder, 'closed');
    mkdirSync(place, { mode: 0o700 });
    chmodSync(place, 0o700);
    // as root: its folder cannot be reached; as anyone else: nobody may change the user
    const said = await startWorker({
      ...settings('65534'),
      ANNEAL_DATA_DIR: join(place, 'data'),
    });
    expect(said).toMatch(/ANNEAL_STEP_USER=65534:65534: this worker cannot run steps as that user/);
    expect(said).toMatch(isRoot ? /EACCES/ : /EPERM/);
    expect(said).toContain('Run the worker as root');
  });

  if (!isRoot) return; // the refusal above is all that anyone else gets

  it("runs a step that writes its outputs and cannot read the worker's environment", async () => {
    const nobodys = isolated('outputs');
    const script = `
      id -u; cat hello.txt; touch ~/mine && echo home
      cat /proc/$PPID/environ >/dev/null || echo closed
      mkdir -p "$ANNEAL_CHECKPOINT_DIR/.c" && echo 1 > "$ANNEAL_CHECKPOINT_DIR/.c/n"
      mv "$ANNEAL_CHECKPOINT_DIR/.c" "$ANNEAL_CHECKPOINT_DIR/step-1"
      printf weights > "$ANNEAL_OUTPUT_DIR/model"
      echo '{"rows": 3}' > "$ANNEAL_OUTPUT_DIR/outputs.json"`;
    const outputs = { model: { kind: 'model' as const }, rows: { value: true as const } };
    const files = { 'hello.txt': 'hello\n' };
    const { runId } = await lab.begin(shell(script, { outputs }), { files });
    const outcome = await runStep(nobodys, runId);
    expect(await lab.logs(runId)).toEqual(
      expect.arrayContaining([
        'stdout: 65534',
        'stdout: hello',
        'stdout: home',
        'stdout: closed',
        'anneal: checkpoint step-1 is safe',
      ]),
    );
    expect(outcome).toMatchObject({
      kind: 'succeeded',
      result: {
        outputs: { rows: { value: 3 }, model: { artifact: expect.any(String) as string } },
      },
    });
  });

  it('kills the whole group of such a step', async () => {
    const nobodys = isolated('killed');
    const { runId } = await lab.begin(shell('sleep 300 & sleep 300'));
    const outcome = await runStep(nobodys, runId, { timeoutSeconds: 1 });
    expect(outcome).toMatchObject({ kind: 'failed', failure: { failureClass: 'timeout' } });
  });

  it.each([
    ['an output', 'ln -s "$SECRET_FILE" "$ANNEAL_OUTPUT_DIR/model"'],
    ['a file in an output', 'mkdir "$ANNEAL_OUTPUT_DIR/model"; cd "$_"; ln -s "$SECRET_FOLDER" x'],
    ['the folder of an output', 'ln -s "$SECRET_FOLDER" "$ANNEAL_OUTPUT_DIR/model"'],
    ["the worker's environment", 'ln -s /proc/self/environ "$ANNEAL_OUTPUT_DIR/model"'],
    ['outputs.json', 'ln -s "$SECRET_FILE" "$ANNEAL_OUTPUT_DIR/outputs.json"'],
  ])("is not led by a link to what is not the step's: %s", async (what, script) => {
    const secretFolder = join(lab.folder, `secret-${what.replace(/\W+/g, '-')}`);
    mkdirSync(secretFolder, { mode: 0o700 });
    const secretFile = join(secretFolder, 'file.json');
    writeFileSync(secretFile, JSON.stringify({ leak: SECRET }), { mode: 0o600 });
    const env = { SECRET_FILE: secretFile, SECRET_FOLDER: secretFolder };
    const wanted =
      what === 'outputs.json'
        ? { leak: { value: true as const } }
        : { model: { kind: 'model' as const } };
    const { runId } = await lab.begin(shell(script, { env, outputs: wanted }));
    const outcome = await runStep(isolated(`link-${what.replace(/\W+/g, '-')}`), runId);
    expect(outcome).toMatchObject({ kind: 'failed', failure: { failureClass: 'data' } });
    expect(JSON.stringify(outcome)).not.toContain(SECRET);
    expect((await lab.logs(runId)).join('\n')).not.toContain(SECRET);
  });

  it('removes the folder of an attempt with the rights of its user alone', async () => {
    const nobodys = isolated('removed');
    const kept = join(lab.folder, 'kept');
    mkdirSync(kept);
    writeFileSync(join(kept, 'file'), '');
    const { runId } = await lab.begin(shell(`ln -s ${kept} here; mkdir deep; touch deep/file`));
    expect((await runStep(nobodys, runId)).kind).toBe('succeeded');
    expect(statSync(join(kept, 'file')).isFile()).toBe(true);
    const attempts = join(nobodys.node.folder, 'attempts', String(process.pid));
    expect(statSync(attempts).nlink).toBe(2); // no folder is left in it
  });
});
