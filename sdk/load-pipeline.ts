import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { AppError } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import { loadModule } from './load-module';
import type { LoadedModule } from './load-module';
import { isPipeline } from './pipeline';
import type { CompiledPipeline } from './pipeline-document';
import { compileYamlFile } from './pipeline-yaml';
import type { YamlSource } from './pipeline-yaml';
import { isFunctionStep } from './step';

const YAML = ['.yaml', '.yml'];
const SCRIPT = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];

/**
 * The canonical plan of a pipeline file: YAML, or a TypeScript or JavaScript file whose default export
 * `pipeline()` made. Function steps are named by the file that exports them, relative to the
 * pipeline's folder. INVALID_PLAN with every problem; NOT_FOUND if there is no such file.
 */
export async function loadPipeline(path: string): Promise<Plan> {
  return (await loadPipelineFile(path)).plan;
}

/** As loadPipeline, with what starts runs of the pipeline once it is deployed. */
export async function loadPipelineFile(path: string): Promise<CompiledPipeline> {
  const extension = extname(path);
  const text = await readText(path);
  if (YAML.includes(extension)) return compileYamlFile(text, sourceOf(path));
  if (!SCRIPT.includes(extension)) {
    const message = `'${path}' is no pipeline file: it must end in .yaml, .yml, .ts or .js.`;
    throw new AppError('INVALID_ARGUMENT', message);
  }
  const loaded = await loadModule(resolve(path));
  const pipeline = loaded.exports['default'];
  if (!isPipeline(pipeline)) {
    const message = `'${path}' must have a pipeline as its default export: export default pipeline(…).`;
    throw new AppError('INVALID_PLAN', message);
  }
  return pipeline.compileFile(stepNames(loaded));
}

/** A YAML pipeline may use others in its folder and below. */
function sourceOf(path: string): YamlSource {
  const folder = dirname(resolve(path));
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(join(folder, file), 'utf8');
    } catch {
      return undefined;
    }
  };
  return { file: basename(path), read };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('NOT_FOUND', `No pipeline file '${path}' can be read.`, { cause: error });
  }
}

/** Every exported function step → `./file.ts#export`. A step exported again keeps its first file. */
function stepNames(loaded: LoadedModule): ReadonlyMap<object, string> {
  const names = new Map<object, string>();
  for (const [file, exports] of loaded.files) {
    for (const [name, value] of Object.entries(exports)) {
      if (isFunctionStep(value) && !names.has(value)) names.set(value, `${file}#${name}`);
    }
  }
  return names;
}
