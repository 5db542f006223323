import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Removes the folders of attempts whose worker is dead; several workers may share `folder`. Called
 * before the first attempt: in a container every worker has the same process id.
 */
export function removeLeftovers(folder: string): void {
  const attempts = join(folder, 'attempts');
  for (const pid of namesIn(attempts)) {
    const isOver = Number(pid) === process.pid || !isAlive(Number(pid));
    if (isOver) rmSync(join(attempts, pid), { recursive: true, force: true });
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no attempt has run here yet
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, but belongs to someone else
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
