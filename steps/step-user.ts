import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { chmod, lchown, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '../errors/app-error';

/** Whom steps run as, if not as the worker's own user. */
export interface StepUser {
  readonly uid: number;
  readonly gid: number;
}
/** For the trial at the start: a busy machine starts node within a second. */
const TRIAL_TIMEOUT_MS = 20_000;
/** Do what a step does first: reach its runner, and write into its folder. */
const TRIAL = `
  const fs = require('node:fs');
  const [folder, runner] = process.argv.slice(1);
  try {
    fs.accessSync(runner, fs.constants.R_OK);
    fs.writeFileSync(folder + '/trial', '');
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }`;

/**
 * Opens the worker's folder to steps of another user and tries it: CONFIG_INVALID says why this
 * worker cannot run them. The code cache in it stays the worker's.
 */
export function admitStepUser(
  user: StepUser,
  places: { readonly dataDir: string; readonly folder: string; readonly runner: string },
): void {
  const setting = `ANNEAL_STEP_USER=${user.uid}:${user.gid}`;
  if (user.uid === 0 || user.uid === process.getuid?.()) {
    const who = user.uid === 0 ? 'root' : "the worker's own user";
    const message = `${setting} is ${who}, which protects nothing.`;
    throw new AppError('CONFIG_INVALID', `${message} Name another user, or unset it.`);
  }
  const attempts = join(places.folder, 'attempts');
  const ownAttempts = join(attempts, String(process.pid));
  const code = join(places.folder, 'code');
  for (const folder of [ownAttempts, code]) mkdirSync(folder, { recursive: true });
  const trial = mkdtempSync(join(ownAttempts, 'trial-'));
  try {
    for (const folder of [places.dataDir, places.folder, attempts, ownAttempts]) {
      chmodSync(folder, (statSync(folder).mode & 0o7777) | 0o011); // to pass
    }
    chmodSync(code, 0o700);
    chownSync(trial, user.uid, user.gid);
    tryOut(user, { trial, runner: places.runner });
  } catch (error) {
    const message = `${setting}: this worker cannot run steps as that user (${reasonOf(error)}).`;
    const rights = 'Run the worker as root (in a container, with its usual capabilities)';
    const paths = 'let every user pass the folders above ANNEAL_DATA_DIR, node and Anneal';
    throw new AppError('CONFIG_INVALID', `${message} ${rights} and ${paths}, or unset it.`);
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

function tryOut(
  user: StepUser,
  { trial, runner }: { readonly trial: string; readonly runner: string },
): void {
  const { error, status, stderr } = spawnSync(process.execPath, ['-e', TRIAL, trial, runner], {
    ...user,
    env: {},
    encoding: 'utf8',
    timeout: TRIAL_TIMEOUT_MS,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(stderr.trim());
}

/** Gives an attempt's folder to the user that runs it, and to nobody else. */
export async function giveFolder(root: string, { uid, gid }: StepUser): Promise<void> {
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (entry.isDirectory()) await giveFolder(path, { uid, gid });
    else await lchown(path, uid, gid);
  }
  await chmod(root, 0o700);
  await lchown(root, uid, gid); // last: until then nobody else could put a link in our way
}

/** Removes an attempt's folder with its user's rights: as root we could be led to other folders. */
export async function removeFolderOf({ uid, gid }: StepUser, root: string): Promise<void> {
  // the entry itself stands in the worker's folder: rm says so, after it has removed the contents
  await promisify(execFile)('rm', ['-rf', '--', root], { uid, gid }).catch(() => undefined);
  await rmdir(root).catch(() => undefined); // what is left goes when the next worker starts
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
