import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isArtifactRef } from '../dag/scope';
import type { AttemptTicket, Download } from '../schemas/attempts';
import { placesBelow } from './contract';
import type { Workplace } from './contract';
import { copyCode } from './code-cache';
import type { CodeCache } from './code-cache';
import { fetchArtifact, isUnusable } from './downloads';
import type { Downloader } from './downloads';
import type { LogShipper } from './logs';

/** What it takes to make a workplace. */
export interface Preparation extends Downloader {
  readonly ticket: AttemptTicket;
  readonly root: string; // of this attempt alone
  readonly codeCache: CodeCache;
  readonly logs: LogShipper;
}

/** Brings code, inputs and the newest checkpoint that verifies into folders of the attempt's own. */
export async function prepareWorkplace(preparation: Preparation): Promise<Workplace> {
  const { ticket, root, codeCache } = preparation;
  await rm(root, { recursive: true, force: true });
  const places = placesBelow(root);
  const cwd = join(root, 'code');
  for (const folder of [places.outputDir, places.checkpointDir, places.cardDir, cwd]) {
    await mkdir(folder, { recursive: true });
  }
  if (ticket.code !== null) {
    await copyCode(preparation, { ...ticket.code, to: cwd }, codeCache);
  }
  await writeFile(places.paramsFile, JSON.stringify(ticket.params));
  const fetched = await fetchInputs(preparation);
  return { ...places, root, cwd, ...fetched, resumeFrom: await fetchCheckpoint(preparation) };
}

async function fetchInputs(
  preparation: Preparation,
): Promise<Pick<Workplace, 'inputs' | 'values'>> {
  const inputs: Record<string, string> = {};
  const values: Record<string, unknown> = {};
  for (const [name, input] of Object.entries(preparation.ticket.inputs)) {
    const folder = join(preparation.root, 'inputs', name);
    if ('download' in input) {
      inputs[name] = await fetchArtifact(preparation, input.download, folder);
      values[name] = inputs[name];
    } else if (input.downloads !== undefined) {
      values[name] = withPaths(input.value, await fetchAll(preparation, input.downloads, folder));
      inputs[name] = join(folder, 'items.json');
      await writeFile(inputs[name], JSON.stringify(values[name], null, 2));
    } else {
      const { value } = input;
      inputs[name] = typeof value === 'string' ? value : JSON.stringify(value);
      values[name] = value;
    }
  }
  return { inputs, values };
}

/** Artifacts by id, each in a folder of its own; answers where each is. */
async function fetchAll(
  preparation: Preparation,
  downloads: readonly Download[],
  folder: string,
): Promise<Map<string, string>> {
  await mkdir(folder, { recursive: true });
  const paths = new Map<string, string>();
  for (const download of downloads) {
    const { artifactId } = download;
    paths.set(artifactId, await fetchArtifact(preparation, download, join(folder, artifactId)));
  }
  return paths;
}

/** JSON with the path of each artifact in place of its reference. */
function withPaths(value: unknown, paths: ReadonlyMap<string, string>): unknown {
  if (isArtifactRef(value)) return paths.get(value.artifact);
  if (Array.isArray(value)) return value.map((entry) => withPaths(entry, paths));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, withPaths(inner, paths)]);
  return Object.fromEntries(entries);
}

/**
 * The newest checkpoint whose every file has its digest. One whose bytes are lost or wrong is left
 * out, loudly, for the one before; any other failure is thrown, so that no progress is thrown away.
 */
async function fetchCheckpoint(preparation: Preparation): Promise<string | undefined> {
  const { http, root, logs } = preparation;
  const unusable: string[] = [];
  let resume = preparation.ticket.resume;
  while (resume !== null) {
    const { name, download } = resume;
    try {
      // a folder of its own for each: a broken one leaves files behind
      const folder = join(root, 'resume', String(unusable.length), name);
      const path = await fetchArtifact(preparation, download, folder);
      logs.add('anneal', `resumes from checkpoint ${name}`);
      // a checkpoint that was written as one file is that file again
      const isFile = download.files.length === 1 && download.files[0]?.path === name;
      return isFile ? join(path, name) : path;
    } catch (error) {
      if (!isUnusable(error)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      logs.add('anneal', `checkpoint ${name} cannot be used: ${why}`);
      unusable.push(download.artifactId);
      const answer = await http.post<Pick<AttemptTicket, 'resume'>>(
        '/api/v1/attempts/self/older-checkpoint',
        { unusable },
      );
      resume = answer.resume;
    }
  }
  if (unusable.length > 0) logs.add('anneal', 'no checkpoint can be used: starts anew');
  return undefined;
}
