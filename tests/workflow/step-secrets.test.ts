import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { readLines } from '../../steps/lines';
import { createMasks } from '../../steps/secrets';
import { extendStep, openStepLab, runStep, shell, type StepLab } from '../support/step-lab';

const TOKEN = 'hf_0123456789$&';
let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterEach(() => {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('ANNEAL_SECRET_')) Reflect.deleteProperty(process.env, name);
  }
});
afterAll(async () => {
  await lab.close();
});

async function begin(
  script: string,
  secrets: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { runId } = await lab.begin(shell(script, { env }));
  await extendStep(lab, runId, { secrets });
  return runId;
}

describe('a secret of a step', () => {
  it('comes as a variable to the step that asks for it and to no other', async () => {
    process.env['ANNEAL_SECRET_HF_TOKEN'] = TOKEN;
    const script = 'test "$HF_TOKEN" = "$WANTED" && test -z "$ANNEAL_SECRET_HF_TOKEN" && echo same';
    const env = { WANTED: TOKEN };
    const runId = await begin(script, ['HF_TOKEN'], env);
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    const other = await lab.begin(shell('test -z "$HF_TOKEN" && ! env | grep -q ANNEAL_SECRET_'));
    expect(await runStep(lab, other.runId)).toMatchObject({ kind: 'succeeded' });
  });

  it('may stand in a file', async () => {
    const file = join(lab.folder, 'token');
    writeFileSync(file, `${TOKEN}\n`);
    process.env['ANNEAL_SECRET_HF_TOKEN_FILE'] = file;
    const runId = await begin('test "$HF_TOKEN" = "$WANTED"', ['HF_TOKEN'], { WANTED: TOKEN });
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
  });

  it('is never shown: in lines, in the reason, in the status', async () => {
    process.env['ANNEAL_SECRET_HF_TOKEN'] = TOKEN;
    const script = `
      echo "token: $HF_TOKEN."; echo "{\\"message\\": \\"with $HF_TOKEN\\"}" > "$ANNEAL_STATUS_FILE"
      echo "refused: $HF_TOKEN" >&2; exit 1`;
    const runId = await begin(script, ['HF_TOKEN']);
    const reason = 'it ended with exit code 1: refused: ***';
    expect(await runStep(lab, runId)).toMatchObject({ failure: { reason } });
    expect(await lab.attempts(runId)).toMatchObject([
      { reason, progress: { message: 'with ***' } },
    ]);
    expect((await lab.logs(runId)).sort()).toEqual([
      'anneal: failed (crash): it ended with exit code 1: refused: ***',
      'stderr: refused: ***',
      'stdout: token: ***.',
    ]);
  });

  it('that the node does not have fails the step with what to set', async () => {
    const runId = await begin('true', ['HF_TOKEN', 'WANDB']);
    const reason =
      "node n1 has no secret 'HF_TOKEN', 'WANDB', which the step asks for: set ANNEAL_SECRET_HF_TOKEN, ANNEAL_SECRET_WANDB (or the same with _FILE, a path) for its step worker";
    const failure = { failureClass: 'data', reason };
    expect(await runStep(lab, runId)).toMatchObject({ failure });
    expect(await lab.attempts(runId)).toMatchObject([failure]);
  });
});

describe('masks', () => {
  it('find a secret wherever a line without end is cut', async () => {
    const secret = 's3cr3t'.repeat(20);
    const { mask, charsMax } = createMasks([secret]);
    for (let at = 16_384 - secret.length - 2; at <= 16_384 + 2; at += 7) {
      const text = 'x'.repeat(at) + secret + 'y'.repeat(40_000);
      const parts: string[] = [];
      const onLine = (part: string): number => parts.push(part);
      const chunks = text.match(/.{1,1000}/gs) ?? [];
      await readLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), {
        onLine,
        mask,
        maskChars: charsMax,
      });
      expect(parts.join('')).toBe(`${'x'.repeat(at)}***${'y'.repeat(40_000)}`);
    }
  });

  it('take each line of a secret with several, and leave short ones', () => {
    const { mask } = createMasks([
      '-----BEGIN-----\nabcdefgh\n-----END-----',
      '1',
      'long-er',
      'long',
    ]);
    expect(mask('abcdefgh 1 long-er long')).toBe('*** 1 *** ***');
  });
});
