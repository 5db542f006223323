import { buildSync } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

let folder: string;
let program: string;
const children: ChildProcess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-wal-lock-'));
  program = join(folder, 'writer.js');
  buildSync({
    stdin: {
      contents: `
        import { openWal } from './storage/wal/wal';
        openWal({ dir: process.argv[2], durability: 'fsync' }).then(
          (wal) => {
            process.once('SIGTERM', () => void wal.close().then(() => process.exit(0)));
            setTimeout(() => process.exit(3), 60_000);
            console.log('open');
          },
          (error) => {
            console.log(error.code + ': ' + error.message);
            process.exit(1);
          },
        );`,
      resolveDir: join(__dirname, '../..'),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    outfile: program,
  });
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A process that opens the log, and the one line that it says of it. */
async function startWriter(dir: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [program, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [said] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, said };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

describe('the folder of a write-ahead log', () => {
  it('is refused to a second process, which names the first', async () => {
    const dir = join(folder, 'two');
    const first = await startWriter(dir);
    expect(first.said).toBe('open');
    const second = await startWriter(dir);
    expect(second.said).toMatch(/^INVALID_STATE: /);
    expect(second.said).toContain(`Process ${first.child.pid ?? 0} writes the log in ${dir}`);
    expect(second.said).toContain('ANNEAL_DATA_DIR');
    // the one that was refused has not taken the lock away either
    expect((await startWriter(dir)).said).toContain(`Process ${first.child.pid ?? 0} `);
  });

  it('is free again after an orderly end, with no lock left behind', async () => {
    const dir = join(folder, 'closed');
    await end((await startWriter(dir)).child, 'SIGTERM');
    expect(readdirSync(dir).filter((name) => name.startsWith('lock'))).toEqual([]);
    expect((await startWriter(dir)).said).toBe('open');
  });

  it('is free again after SIGKILL', async () => {
    const dir = join(folder, 'killed');
    await end((await startWriter(dir)).child, 'SIGKILL');
    expect(readdirSync(dir)).toContain('lock');
    expect((await startWriter(dir)).said).toBe('open');
  });

  it('is not held by a process that has only got the number of the dead one', async () => {
    const dir = join(folder, 'number');
    await end((await startWriter(dir)).child, 'SIGTERM');
    symlinkSync(`${process.pid}@1`, join(dir, 'lock')); // began at the first tick after the boot
    expect((await startWriter(dir)).said).toBe('open');
  });

  it('goes to exactly one of many that come at once upon a stale lock', async () => {
    const dir = join(folder, 'many');
    await end((await startWriter(dir)).child, 'SIGKILL');
    const said = (await Promise.all(Array.from({ length: 6 }, () => startWriter(dir)))).map(
      (writer) => writer.said.replace(/: .*/, ''),
    );
    const refused = Array.from({ length: 5 }, () => 'INVALID_STATE');
    expect(said.sort()).toEqual([...refused, 'open']);
    expect(existsSync(join(dir, 'lock.stale'))).toBe(false);
  });
});
