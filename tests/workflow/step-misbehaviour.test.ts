import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { StepSpec } from '../../schemas/plan';
import { plan, step } from '../support/plans';
import { onSmallDisks } from '../support/small-disk';
import type { StepChildReport } from '../support/step-child';
import { artifactOf, openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

const MODEL: StepSpec['outputs'] = { model: { kind: 'model' } };

/** Carries out attempts in a worker process of their own, behind the command `within`. */
async function runInChild(
  runIds: readonly string[],
  on: { readonly within: readonly string[]; readonly folder: string } = {
    within: [],
    folder: lab.node.folder,
  },
): Promise<StepChildReport> {
  const { within, folder } = on;
  const program = join(lab.folder, 'step-child.js');
  buildSync({
    entryPoints: [join(__dirname, '../support/step-child.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile: program,
  });
  const inputs = runIds.map((runId): ExecuteStepInput => {
    const input = { projectId: 'default', runId, stepKey: 'train', attempt: 1 };
    return { ...input, readyAtMs: Date.now(), timeoutSeconds: 300, graceSeconds: 10 };
  });
  const child = JSON.stringify({ node: { ...lab.node, folder }, inputs });
  const [file, ...args] = [...within, process.execPath, program, child];
  const { stdout } = await promisify(execFile)(file, args, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as StepChildReport;
}

describe('a step that prints 1 GB', () => {
  it('ends well: the head and the tail are kept, a line says how much is not, memory is bounded', async () => {
    const { runId } = await lab.begin(
      shell(
        'echo first; head -c 1000000000 /dev/zero | tr "\\0" x | fold -w 10000; echo; echo last',
      ),
    );
    const { outcomes, rssMaxMiB } = await runInChild([runId]);
    expect(outcomes).toMatchObject([{ kind: 'succeeded' }]);
    expect(rssMaxMiB).toBeLessThan(600); // node itself, what waits and a chunk: not the gigabyte
    const lines = await allLines(runId);
    expect(lines[0]).toEqual({ stream: 'stdout', text: 'first' });
    expect(lines.at(-1)).toEqual({ stream: 'stdout', text: 'last' });
    const bytes = lines.reduce((sum, { text }) => sum + text.length + 1, 0);
    expect(bytes / 1024 / 1024).toBeGreaterThan(63.9);
    expect(bytes / 1024 / 1024).toBeLessThan(64.1);
    const ours = lines.filter(({ stream }) => stream === 'anneal').map(({ text }) => text);
    expect(ours).toEqual([
      expect.stringMatching(/^The log of this attempt is full \(64 MiB/),
      expect.stringMatching(/^\d+ lines \(\d+\.\d MiB\) are left out here\.$/),
    ]);
    const kept = lines.filter(({ stream }) => stream === 'stdout').length;
    expect(kept + Number.parseInt(ours[1] ?? '')).toBe(100_002);
  }, 300_000);
});

/** The whole log of a run, page by page. */
async function allLines(runId: string): Promise<{ stream: string; text: string }[]> {
  type Page = { lines: { stream: string; text: string }[]; next: string | null };
  const all: Page['lines'] = [];
  for (let after = '0'; ;) {
    const path = `/api/v1/pipeline-runs/${runId}/logs?after=${after}&limit=500`;
    const { lines, next } = await lab.user.get<Page>(path);
    if (lines.length === 0) return all;
    all.push(...lines.map(({ stream, text }) => ({ stream, text })));
    after = next ?? '';
  }
}

describe('a step whose output is larger than the disk', () => {
  it.each([
    ['and that says so', 'head -c 50000000 /dev/zero > "$ANNEAL_OUTPUT_DIR/model"'],
    ['and that does not notice', 'head -c 50000000 /dev/zero > "$ANNEAL_OUTPUT_DIR/model" || true'],
  ])('%s fails with class quota; its worker takes the next one', async (what, script) => {
    const folder = join(lab.folder, `small-${what.length}`);
    const runs = [
      await lab.begin(shell(script, { outputs: MODEL })),
      await lab.begin(shell('echo ok > "$ANNEAL_OUTPUT_DIR/model"', { outputs: MODEL })),
    ];
    const ids = runs.map(({ runId }) => runId);
    const within = onSmallDisks({ [folder]: '8m' });
    const { outcomes } = await runInChild(ids, { within, folder });
    expect(outcomes).toMatchObject([
      {
        kind: 'failed',
        failure: {
          failureClass: 'quota',
          reason: expect.stringMatching(/^the disk of node n1 is full: write less/) as string,
        },
      },
      { kind: 'succeeded' },
    ]);
    const committed = await lab.user.get<{ steps: { outputs: unknown }[] }>(
      `/api/v1/pipeline-runs/${ids[0] ?? ''}/steps`,
    );
    expect(committed.steps[0]?.outputs).toBeNull();
  });
});

describe('a step that ignores SIGTERM', () => {
  const DEAF = 'trap "" TERM; touch "$GO"; while :; do sleep 0.05; done';

  it('is killed after its grace, and the reason says so', async () => {
    const { runId } = await lab.begin(shell(DEAF, { env: { GO: join(lab.folder, 'deaf-1') } }));
    const outcome = await runStep(lab, runId, { timeoutSeconds: 0.3, graceSeconds: 1 });
    const reason =
      'it ran longer than its timeout; it did not end within 1 s of SIGTERM and was killed';
    expect(outcome).toMatchObject({ failure: { failureClass: 'timeout', reason } });
    expect(await lab.attempts(runId)).toMatchObject([{ failureClass: 'timeout', reason }]);
  });

  it('is killed when it has to leave its node, too', async () => {
    const go = join(lab.folder, 'deaf-2');
    const { runId } = await lab.begin(shell(DEAF, { env: { GO: go } }));
    const stop = until(() => existsSync(go)).then(() => 'preempted' as const);
    const outcome = await runStep(lab, runId, { stop, graceSeconds: 1 });
    const reason = 'it had to leave its node; it did not end within 1 s of SIGTERM and was killed';
    expect(outcome).toMatchObject({ failure: { failureClass: 'preempted', reason } });
  });
});

describe('a step that leaves processes behind', () => {
  function isAlive(pid: number): boolean {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  }

  it.each([
    ['in its group', 'sleep 300 &'],
    ['a daemon with a session of its own', 'setsid sleep 300 &'],
    ['one whose parents are gone', '(setsid sh -c "(sleep 300 & echo \\$! > pid2) &" &) ;'],
  ])('leaves none: %s', async (what, start) => {
    const file = join(lab.folder, `pid-${what.length}`);
    const script = `${start} pid=$!
      until [ -n "$pid" ] || [ -s pid2 ]; do sleep 0.05; done
      if [ -z "$pid" ]; then pid=$(cat pid2); fi; echo $pid > ${file}`;
    const { runId } = await lab.begin(shell(script));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    const pid = Number(readFileSync(file, 'utf8'));
    expect(pid).toBeGreaterThan(1);
    await until(() => !isAlive(pid));
  });
});

describe('links and other things that are no files', () => {
  it('fails an output with a link that leads out of its folder or nowhere', async () => {
    const secret = join(lab.folder, 'outside');
    writeFileSync(secret, 'not of the step');
    for (const [target, what] of [
      [secret, 'leads out of the folder'],
      ['/nowhere', 'leads nowhere'],
    ]) {
      const script = `mkdir "$ANNEAL_OUTPUT_DIR/model"; ln -s ${target ?? ''} "$ANNEAL_OUTPUT_DIR/model/w"`;
      const { runId } = await lab.begin(shell(script, { outputs: MODEL }));
      const reason = `The output 'model': w is a link that ${what ?? ''}: put a copy of the file in its place.`;
      const failure = { failureClass: 'data', reason };
      expect(await runStep(lab, runId)).toMatchObject({ failure });
    }
  });

  it('takes a link inside as its file and says what else it leaves out', async () => {
    const script = `
      cd "$ANNEAL_OUTPUT_DIR" && mkdir -p model/blobs model/a && cd model
      echo weights > blobs/1; ln -s ../blobs/1 a/w; ln -s blobs latest; mkfifo pipe`;
    const { runId } = await lab.begin(shell(script, { outputs: MODEL }));
    const model = artifactOf(await runStep(lab, runId), 'model');
    const { files } = await lab.user.get<{ files: { path: string }[] }>(
      `/api/v1/artifacts/${model}`,
    );
    expect(files.map(({ path }) => path)).toEqual(['a/w', 'blobs/1']);
    expect((await lab.logs(runId)).sort()).toEqual([
      "anneal: The output 'model': latest is not kept: it is a link to a folder.",
      "anneal: The output 'model': pipe is not kept: it is no file.",
    ]);
  });

  it('does not save a checkpoint with such a link, and says why', async () => {
    const script = `
      mkdir .c; ln -s /etc/hostname .c/w; mv .c "$ANNEAL_CHECKPOINT_DIR/step-1"; sleep 0.5`;
    const { runId } = await lab.begin(shell(script));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual([
      'anneal: checkpoint step-1 was not saved: w is a link that leads out of the folder: put a copy of the file in its place.',
    ]);
  });

  it('refuses what says that it is empty and is not', async () => {
    const script = 'ln -s /proc/version "$ANNEAL_OUTPUT_DIR/model"';
    const { runId } = await lab.begin(shell(script, { outputs: MODEL }));
    const reason = expect.stringMatching(/says that it is empty but holds \d+ bytes/) as string;
    expect(await runStep(lab, runId)).toMatchObject({ failure: { failureClass: 'data', reason } });
  });
});

describe('a function step that cannot be found', () => {
  const FILES = {
    'step.ts': `import { step } from 'anneal'; import { z } from 'zod';
      export const fit = step({ in: z.object({ n: z.number() }), out: z.object({}),
        async run() { throw new Error('no data today'); } });`,
    'broken.ts': 'export const fit = (',
  };
  it.each([
    ['./absent.ts#fit', 'data', /^There is no file \.\/absent\.ts in the project: check 'uses'/],
    ['./step.ts#fitt', 'data', /^\.\/step\.ts exports no step named 'fitt', only fit\. Correct/],
    ['./broken.ts#fit', 'data', /^The file cannot be compiled\. broken\.ts:1:/],
    ['./step.ts#fit', 'crash', /^it ended with exit code 1: no data today$/],
  ])('%s: class %s, the message first', async (...[uses, failureClass, reason]) => {
    const { runId } = await lab.begin(plan([step('train', { uses, with: { n: 1 } })]), {
      files: FILES,
    });
    const failure = { failureClass, reason: expect.stringMatching(reason) as string };
    expect(await runStep(lab, runId)).toMatchObject({ failure });
    expect(await lab.attempts(runId)).toMatchObject([failure]);
  });

  it('with settings that do not fit says which: class data', async () => {
    const train = step('train', { uses: './step.ts#fit', with: { n: 'one' } });
    const { runId } = await lab.begin(plan([train]), { files: FILES });
    const reason = expect.stringMatching(
      /does not fit the step's declaration:\n.*expected number/,
    ) as string;
    expect(await runStep(lab, runId)).toMatchObject({ failure: { failureClass: 'data', reason } });
  });
});

describe('the folder of attempts', () => {
  it('holds nothing when all of these have ended', () => {
    const attempts = join(lab.node.folder, 'attempts', String(process.pid));
    mkdirSync(attempts, { recursive: true });
    expect(readdirSync(attempts)).toEqual([]);
  });
});
