import { join } from 'node:path';
import { AppError } from '../../errors/app-error';
import { releaseLockFile, takeLockFile } from '../lock-file';

/** Beside the segments, which are named by number. */
const LOCK = 'lock';

/**
 * Takes the folder of a log for this process, since two writers would tear it; returns what gives it
 * back. INVALID_STATE names the living process that has it.
 */
export function takeFolder(folder: string): () => void {
  const lock = join(folder, LOCK);
  const holder = takeLockFile(lock);
  if (holder === undefined) {
    return () => {
      releaseLockFile(lock);
    };
  }
  const message = `Process ${holder.pid} writes the log in ${folder}, and only one may.`;
  const advice = 'Stop that process, or give this one another ANNEAL_DATA_DIR.';
  throw new AppError('INVALID_STATE', `${message} ${advice}`);
}
