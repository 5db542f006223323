import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { list } from 'tar';
import { packCode, type PackedCode } from '../../sdk/code-bundle';

let folder: string;
const packed: PackedCode[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-project-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  for (const { file } of packed.splice(0)) rmSync(dirname(file), { recursive: true, force: true });
});

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}
async function pack(): Promise<PackedCode & { readonly names: readonly string[] }> {
  const one = await packCode(folder);
  packed.push(one);
  const names: string[] = [];
  await list({ file: one.file, onReadEntry: (entry) => names.push(entry.path) });
  return { ...one, names };
}

describe('packing code', () => {
  it('gives the same digest for the same files, another one for others', async () => {
    write({ 'b.py': 'print(2)', 'a/a.py': 'print(1)' });
    const first = await pack();
    utimesSync(join(folder, 'b.py'), 1, 1);
    expect((await pack()).digest).toBe(first.digest);
    write({ 'b.py': 'print(3)' });
    expect((await pack()).digest).not.toBe(first.digest);
    expect(first.names).toEqual(['a/a.py', 'b.py']);
  });

  it('leaves out what git ignores, as every .gitignore on the way says', async () => {
    write({
      '.gitignore': 'data/\n*.bin\n',
      'train.py': '',
      'w.bin': '',
      'data/x.csv': '',
      'sub/.gitignore': '!keep.bin\nlocal.txt\n/top\n',
      'sub/keep.bin': '',
      'sub/other.bin': '',
      'sub/local.txt': '',
      'sub/top': '',
      'sub/deep/top': '',
      'local.txt': '',
    });
    expect((await pack()).names).toEqual([
      '.gitignore',
      'local.txt',
      'sub/.gitignore',
      'sub/deep/top',
      'sub/keep.bin',
      'train.py',
    ]);
  });

  it('keeps packages, repositories and secrets at home', async () => {
    write({
      '.env': 'TOKEN=1',
      '.env.example': 'TOKEN=',
      'keys/server.pem': '',
      'node_modules/a/index.js': '',
      '.git/config': '',
      '.venv/bin/python': '',
      'run.sh': '',
    });
    const { names, warnings } = await pack();
    expect(names).toEqual(['.env.example', 'run.sh']);
    expect([...warnings].sort()).toEqual([
      '.env looks like a secret and is not sent to the workers.',
      'keys/server.pem looks like a secret and is not sent to the workers.',
    ]);
  });

  it('keeps a secret at home that a link of another name leads to', async () => {
    write({ '.env': 'TOKEN=1', '.git/config': 'token', 'run.sh': '' });
    symlinkSync('.env', join(folder, 'innocent'));
    symlinkSync('.git/config', join(folder, 'repository'));
    symlinkSync('run.sh', join(folder, 'start.sh'));
    const { names, warnings } = await pack();
    expect(names).toEqual(['run.sh', 'start.sh']);
    expect(warnings).toContain('innocent leads to .env and is not sent to the workers.');
    expect(warnings).toContain('repository leads to .git/config and is not sent to the workers.');
  });

  it('refuses more than 100 MiB', async () => {
    write({ 'big.dat': 'x' });
    const { truncateSync } = await import('node:fs');
    truncateSync(join(folder, 'big.dat'), 100 * 1024 * 1024 + 1);
    await expect(packCode(folder)).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });
});

describe('links in a project', () => {
  it('are refused when they lead out of it, unless git ignores them', async () => {
    write({ 'train.py': '' });
    symlinkSync(tmpdir(), join(folder, 'data'));
    await expect(packCode(folder)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message:
        'The project cannot be packed: data is a link that leads out of the folder: put a copy of the file in its place. Or name it in .gitignore.',
    });
    write({ '.gitignore': 'data\n' });
    expect((await pack()).names).toEqual(['.gitignore', 'train.py']);
  });

  it('to a file inside become that file, to a folder inside are left out with a warning', async () => {
    write({ 'sub/a.py': 'print(1)' });
    symlinkSync('sub/a.py', join(folder, 'b.py'));
    symlinkSync('sub', join(folder, 'also'));
    const one = await pack();
    expect(one.names).toEqual(['b.py', 'sub/a.py']);
    expect(one.warnings).toEqual(['also is no file and is not sent to the workers.']);
    rmSync(join(folder, 'b.py'));
    rmSync(join(folder, 'also'));
    write({ 'b.py': 'print(1)' });
    expect((await pack()).digest).toBe(one.digest);
  });
});
