import { createWriteStream, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp, readdir, realpath } from 'node:fs/promises';
import ignore from 'ignore';
import type { Ignore } from 'ignore';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { create } from 'tar';
import { AppError, isAppError } from '../errors/app-error';
import type { Http } from './http';
import { hashFile, linkedInside, uploadFiles } from './uploads';

/** A project's folder as one archive; the same files give the same digest. */
export interface PackedCode {
  readonly file: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly warnings: readonly string[];
}
/** Code, not data: data travels as artifacts. */
const BYTES_MAX = 100 * 1024 * 1024;
const FILES_MAX = 20_000;
const NEVER = ['.git', 'node_modules', '.anneal', '.venv', '__pycache__'];
/** Names of files that hold secrets; they are left out with a warning. */
const SECRETS =
  /(^|\/)(\.env(\..+)?|.*\.pem|.*\.key|id_(rsa|dsa|ecdsa|ed25519)|\.npmrc|\.pypirc|\.netrc|credentials(\.json)?|service-account.*\.json)$/i;
const NO_SECRETS = /\.env\.(example|sample|template)$/i;

/** Packs a folder: `.gitignore` is respected, secrets stay at home. TOO_LARGE above 100 MiB. */
export async function packCode(folder: string): Promise<PackedCode> {
  const warnings: string[] = [];
  const files = (await list(folder, { below: '', rules: [], warnings })).filter((name) => {
    if (!isSecret(name)) return true;
    warnings.push(`${name} looks like a secret and is not sent to the workers.`);
    return false;
  });
  checkSize(folder, files);
  const target = join(await mkdtemp(join(tmpdir(), 'anneal-code-')), 'code.tar.gz');
  const archive = create(
    // no times, no owners: the digest depends on names, modes and bytes only; links become files
    {
      cwd: folder,
      gzip: { level: 6 },
      portable: true,
      mtime: new Date(0),
      noDirRecurse: true,
      follow: true,
    },
    files.sort(),
  );
  await pipeline(archive as unknown as NodeJS.ReadableStream, createWriteStream(target));
  return {
    file: target,
    digest: await hashFile(target),
    sizeBytes: statSync(target).size,
    warnings,
  };
}

/** Whether a file is held back because of its name. */
export function isSecret(name: string): boolean {
  return SECRETS.test(name) && !NO_SECRETS.test(name);
}

function checkSize(folder: string, files: readonly string[]): void {
  const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  if (bytes <= BYTES_MAX && files.length <= FILES_MAX) return;
  const message = `The project has ${files.length} files and ${Math.round(bytes / 1024 / 1024)} MiB; at most ${FILES_MAX} and 100 MiB. Put data into .gitignore, or name another folder with --code.`;
  throw new AppError('TOO_LARGE', message);
}

/** What one `.gitignore` says about everything below its folder. */
interface IgnoreFile {
  readonly below: string; // '' or 'folder/'
  readonly rules: Ignore;
}

function readIgnoreFile(root: string, below: string): IgnoreFile[] {
  try {
    const text = readFileSync(join(root, below, '.gitignore'), 'utf8');
    return [{ below, rules: ignore().add(text) }];
  } catch {
    return []; // there is none
  }
}

/** The innermost file that has a say decides, as in git. */
function isIgnored(path: string, files: readonly IgnoreFile[]): boolean {
  for (const { below, rules } of files.toReversed()) {
    const { ignored, unignored } = rules.test(path.slice(below.length));
    if (ignored || unignored) return ignored;
  }
  return false;
}

async function list(
  root: string,
  at: {
    readonly below: string;
    readonly rules: readonly IgnoreFile[];
    readonly warnings: string[];
  },
): Promise<string[]> {
  const { below, warnings } = at;
  const rules = [...at.rules, ...readIgnoreFile(root, below)];
  const files: string[] = [];
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    if (NEVER.includes(entry.name)) continue;
    const path = `${below}${entry.name}`;
    if (isIgnored(entry.isDirectory() ? `${path}/` : path, rules)) continue;
    if (entry.isDirectory())
      files.push(...(await list(root, { below: `${path}/`, rules, warnings })));
    else if (entry.isFile()) files.push(path);
    else if (entry.isSymbolicLink() && (await linkedFile(root, path))) {
      const target = relative(await realpath(root), await realpath(join(root, path)));
      if (!isSecret(target) && !target.startsWith(`.git${sep}`)) files.push(path);
      else warnings.push(`${path} leads to ${target} and is not sent to the workers.`);
    } else warnings.push(`${path} is no file and is not sent to the workers.`);
  }
  return files;
}

/** True for a link to a file of the project; one that leads out of it is refused. */
async function linkedFile(root: string, path: string): Promise<boolean> {
  try {
    return (await linkedInside(root, path)) === 'file';
  } catch (error) {
    if (!isAppError(error)) throw error;
    const message = `The project cannot be packed: ${error.message} Or name it in .gitignore.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
}

/** Uploads a packed project unless the server holds it already, and removes the local archive. */
export async function uploadCode(http: Http, packed: PackedCode): Promise<void> {
  const { file, digest, sizeBytes } = packed;
  await uploadFiles(http, [{ path: 'code.tar.gz', file, digest, sizeBytes }]);
  const manifest = [{ path: 'code.tar.gz', digest, sizeBytes }];
  await http.post('/api/v1/artifacts', { kind: 'code', manifest });
  rmSync(join(file, '..'), { recursive: true, force: true });
}
