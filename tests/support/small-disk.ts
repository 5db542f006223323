import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A command that runs the one behind it with a small disk at each of these folders (path → size, as
 * mount takes it). Only that command and its children see the disks; root or not, no rights are
 * needed but for namespaces, which macOS and some containers lack.
 */
export function onSmallDisks(disks: Readonly<Record<string, string>>): string[] {
  const namespaces =
    process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount'];
  const mounts = Object.entries(disks).map(
    ([folder, size]) => `mkdir -p '${folder}' && mount -t tmpfs -o size=${size} tmpfs '${folder}'`,
  );
  return ['unshare', ...namespaces, 'sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh'];
}

/** A folder as a process sees it that runs on disks of its own. */
export function seenBy(pid: number | undefined, folder: string): string {
  return join(`/proc/${pid ?? 0}/root`, folder);
}

const CHUNK = Buffer.alloc(64 * 1024, 1);

/** Fills the disk of a folder to its last byte, or up to `leaveBytes`; `free` gives it back. */
export function fillDisk(folder: string, leaveBytes = 0): { free(): void } {
  const name = join(folder, 'filler');
  const file = openSync(name, 'w');
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(folder);
      const left = bavail * bsize - leaveBytes;
      if (left <= 0) break;
      writeSync(file, CHUNK.subarray(0, Math.min(left, CHUNK.length)));
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
  return {
    free: () => {
      rmSync(name);
    },
  };
}
