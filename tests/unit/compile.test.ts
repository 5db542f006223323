import { buildSync } from 'esbuild';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAppError } from '../../errors/app-error';
import { compileWritten } from '../../sdk/pipeline-yaml';
import { createCompiler } from '../../workers/compile';

const ROOT = join(__dirname, '../..');
let folder = '';
let compile: ReturnType<typeof createCompiler>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-compile-'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const outfile = join(folder, 'compile-thread.js');
  const entryPoints = [join(ROOT, 'workers/compile-thread.ts')];
  const built = { bundle: true, packages: 'external', platform: 'node', format: 'cjs' } as const;
  buildSync({ ...built, entryPoints, outfile });
  compile = createCompiler(outfile);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** So many steps, above the size that is read without a thread. */
const large = (step: string): string =>
  `version: 1\nname: w\nsteps:\n${Array.from({ length: 5_000 }, (_, i) => `  s${i}: ${step}`).join('\n')}`;

describe('a large pipeline that a step has written', () => {
  it('is compiled in a thread to the same plan, several at the same time', async () => {
    const text = large('{ run: echo hello }');
    const plans = await Promise.all([1, 2, 3, 4].map(() => compile(text)));
    expect(plans).toEqual(Array(4).fill(compileWritten(text)));
  });

  it('is refused with its first hundred problems', async () => {
    const error: unknown = await compile(large('{ rnu: x }')).catch((thrown: unknown) => thrown);
    if (!isAppError(error)) throw new Error('it was not refused');
    expect(error.code).toBe('INVALID_PLAN');
    expect(error.problems).toHaveLength(100);
    expect(error.problems[0]).toMatchObject({ path: 'steps.s0.rnu', line: 4 });
  });

  it('is refused if the thread cannot read it', async () => {
    const broken = createCompiler(join(folder, 'none.js'));
    await expect(broken(large('{ run: x }'))).rejects.toMatchObject({
      code: 'INVALID_PLAN',
      problems: [
        { path: 'the file', message: expect.stringContaining('cannot be read') as unknown },
      ],
    });
    expect(await broken('version: 1\nname: w\nsteps: { a: { run: x } }')).toMatchObject({
      name: 'w',
    });
  });
});
