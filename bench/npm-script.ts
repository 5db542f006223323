/** Runs a script of package.json and tells what it took. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { cpuSeconds } from './cpu';
import { seconds } from './report';

export const ROOT = join(__dirname, '..');

export interface Told {
  readonly wallS: number;
  /** Of all its processes: other work changes it far less than a time. */
  readonly cpuS: number;
}

/** @throws what the script printed, when it fails */
export function runScript(name: string): Told {
  const started = performance.now();
  const before = cpuSeconds(process.pid);
  const child = spawnSync('npm', ['run', name], { cwd: ROOT, encoding: 'utf8' });
  if (child.status !== 0) {
    throw new Error(`${name} ended with ${child.status ?? '?'}:\n${child.stdout}${child.stderr}`);
  }
  return { wallS: seconds(started), cpuS: cpuSeconds(process.pid) - before };
}
