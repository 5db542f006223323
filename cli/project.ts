import { existsSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { requireArgument } from '../errors/app-error';
import { PATCH_BYTES_MAX, type Git } from '../schemas/git';
import type { Plan } from '../schemas/plan';
import { packCode, uploadCode } from '../sdk/code-bundle';
import { sendCodeFiles } from '../sdk/code-files';
import { loadPipelineFile } from '../sdk/load-pipeline';
import type { CompiledPipeline } from '../sdk/pipeline-document';
import { uploadBytes } from '../sdk/uploads';
import type { CliContext } from './context';
import { readGit, readPatch } from './git';
import { say } from './output';
import { inFile } from './report';

/** The plan of a pipeline file; its mistakes name the file. */
export async function loadFile(file: string): Promise<Plan> {
  return (await loadWithTriggers(file)).plan;
}

/** As loadFile, with what starts runs of the pipeline once it is deployed. */
export async function loadWithTriggers(file: string): Promise<CompiledPipeline> {
  return loadPipelineFile(file).catch((error: unknown) => {
    throw inFile(file, error);
  });
}

/** The commit of a project's folder and, unless nothing is to be started, what differs from it. */
export async function sendGit(
  { http }: CliContext,
  dir: string,
  { dryRun = false }: { readonly dryRun?: boolean | undefined } = {},
): Promise<Git | undefined> {
  const folder = resolve(dir);
  const git = await readGit(folder);
  if (git?.isDirty !== true || dryRun) return git;
  const text = await readPatch(folder);
  if (text === undefined) return git;
  const bytes = Buffer.from(text);
  if (bytes.length > PATCH_BYTES_MAX) {
    say('warning: what differs from the commit is more than 1 MiB and is not kept as a patch.');
    return git;
  }
  return { ...git, patchDigest: await uploadBytes(http, bytes) };
}

/** Packs a project's folder and sends it, unless nothing is to be started; its digest. */
export async function sendCode(
  { http }: CliContext,
  dir: string,
  { plan, dryRun = false }: { readonly plan?: Plan; readonly dryRun?: boolean | undefined } = {},
): Promise<string> {
  const folder = resolve(dir);
  requireArgument(existsSync(folder), `There is no folder '${folder}' to take the code from.`);
  const packed = await packCode(folder);
  for (const warning of packed.warnings) say(`warning: ${warning}`);
  await sendCodeFiles(http, packed, plan);
  if (dryRun) rmSync(dirname(packed.file), { recursive: true });
  else await uploadCode(http, packed);
  return packed.digest;
}
