import { spawn } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');
const ROUNDS = ['-r', 'esbuild-register', 'tests/faults/engine-rounds.ts', '--rounds', '1'];

jest.setTimeout(300_000);

/** The short form of `npm run test:faults:engine`, which plays twenty rounds of 300 steps. */
describe('a run whose processes are killed', () => {
  it('succeeds, and every step commits once what arithmetic gives', async () => {
    const child = spawn(process.execPath, [...ROUNDS, '--steps', '60', '--seed', '3'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(said).toContain('1 passed, 0 failed');
    expect(code).toBe(0);
  });
});
