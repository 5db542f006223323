import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFileSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { TOOL_CACHE } from '../../dev/tools';

const SCRIPTS = join(__dirname, '..', '..', 'scripts');
const BIN = join('home', '.cache', 'anneal', 'bin');
/** Above the largest process number of Linux and of macOS. */
const NO_PROCESS = 4_194_305;
let clone: string;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'anneal-setup-'));
  for (const name of ['setup.mjs', 'download-temporal.mjs']) {
    cpSync(join(SCRIPTS, name), join(clone, 'scripts', name));
  }
  put('scripts/build.mjs', 'console.log("built");');
  put('package-lock.json', '{}');
  put('node_modules/.anneal-stamp', createHash('sha256').update('{}').digest('hex'));
  mkdirSync(join(clone, 'path'));
  symlinkSync(process.execPath, join(clone, 'path', 'node'));
});
afterEach(() => {
  rmSync(clone, { recursive: true, force: true });
});

function put(file: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(clone, file)), { recursive: true });
  writeFileSync(join(clone, file), text, { mode });
}

/** Set-up of a clone whose packages are there, on a machine with nothing but Node and no network. */
function setUp(onText: (text: string) => void = () => undefined): Promise<[number, string]> {
  const env = { HOME: join(clone, 'home'), PATH: join(clone, 'path') };
  const child: ChildProcess = spawn(process.execPath, [join(clone, 'scripts/setup.mjs')], { env });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += String(chunk);
      onText(text);
    });
  }
  return new Promise((resolve) => {
    child.once('close', (code) => {
      resolve([code ?? -1, text]);
    });
  });
}

describe('set-up', () => {
  it('says what to do when there is no Temporal server and no way to get one', async () => {
    const [code, text] = await setUp();
    expect(text).toContain("put a 'temporal' program (the Temporal server, v1.5.1) on the PATH");
    expect(code).toBe(1);
    expect(existsSync(join(clone, '.anneal/setup.lock'))).toBe(false);
  });

  it('asks nobody for what is there, and keeps programs where the stack looks for them', async () => {
    expect(TOOL_CACHE.endsWith(BIN.replace('home', ''))).toBe(true);
    put(join(BIN, 'temporal'), '#!/bin/sh\n', 0o755);
    const program = join(clone, BIN, 'temporal');
    expect(await setUp()).toEqual([0, `temporal: ${program}\nbuilt\n`]);
  });

  it('takes no folder and no half-made program for a program, and clears what was left', async () => {
    mkdirSync(join(clone, 'path', 'temporal'));
    put(join(BIN, `partial-${NO_PROCESS}`, 'temporal'), '#!/bin/sh\n', 0o755);
    const [code] = await setUp();
    expect(code).toBe(1);
    expect(existsSync(join(clone, BIN, `partial-${NO_PROCESS}`))).toBe(false);
  });

  it('waits for what a killed set-up left running, then goes on', async () => {
    const left = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)']);
    put('.anneal/setup.lock', `${NO_PROCESS} ${left.pid ?? ''}`);
    const [, text] = await setUp((soFar) => {
      if (soFar.includes('waiting for the set-up')) left.kill('SIGKILL');
    });
    left.kill('SIGKILL');
    expect(text).toMatch(/^waiting for the set-up that runs \(process \d+\) …\ntemporal/);
  });

  it('passes over the lock of a set-up that is gone', async () => {
    put('.anneal/setup.lock', String(NO_PROCESS));
    const [, text] = await setUp();
    expect(text).toMatch(/^temporal \(download\) …\n/);
  });

  it('pins the same Node version as package.json', () => {
    const manifest = JSON.parse(readFileSync(join(SCRIPTS, '..', 'package.json'), 'utf8')) as {
      engines: { node: string };
    };
    expect(manifest.engines.node).toBe('>=20.19.0');
    expect(readFileSync(join(SCRIPTS, 'setup.mjs'), 'utf8')).toContain('install Node 20.19');
  });
});
