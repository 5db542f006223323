import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError } from '../errors/app-error';
import type { Manifest } from '../schemas/artifacts';
import type { Outputs, StepSpec } from '../schemas/plan';
import type { Http } from '../sdk/http';
import { describeFiles, openOwned, uploadFiles } from '../sdk/uploads';
import type { Workplace } from './contract';

/** Uploads what a step has left behind and commits it; STEP_OUTPUT_MISSING names what is not there. */
export async function commitOutputs(
  http: Http,
  spec: StepSpec,
  place: Pick<Workplace, 'cwd' | 'outputDir'> & { readonly owner: number | undefined },
): Promise<Outputs> {
  const artifacts: Record<string, Manifest> = {};
  for (const [name, output] of Object.entries(spec.outputs ?? {})) {
    if (!('kind' in output)) continue;
    // a declared path is relative to the working folder; without one, the output folder holds it
    const file =
      output.path === undefined ? join(place.outputDir, name) : resolve(place.cwd, output.path);
    if (!existsSync(file)) {
      const message = `The output '${name}' is missing: the step wrote nothing at ${output.path ?? `$ANNEAL_OUTPUT_DIR/${name}`}.`;
      throw new AppError('STEP_OUTPUT_MISSING', message);
    }
    const files = await describeFiles(file, place.owner);
    if (files.length === 0) {
      throw new AppError('STEP_OUTPUT_MISSING', `The output '${name}' is an empty folder.`);
    }
    artifacts[name] = await uploadFiles(http, files);
  }
  const values = await readValues(place.outputDir, place.owner);
  const body = { artifacts, values };
  const { outputs } = await http.post<{ outputs: Outputs }>('/api/v1/attempts/self/commit', body);
  return outputs;
}

async function readValues(
  outputDir: string,
  owner: number | undefined,
): Promise<Record<string, unknown>> {
  const file = join(outputDir, 'outputs.json');
  if (!existsSync(file)) return {};
  const handle = await openOwned(file, owner);
  const text = await handle.readFile('utf8').finally(() => handle.close());
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new AppError('STEP_OUTPUT_MISSING', 'outputs.json is not valid JSON.');
  }
}
