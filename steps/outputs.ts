import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError, isAppError } from '../errors/app-error';
import type { Manifest } from '../schemas/artifacts';
import type { Outputs, StepSpec } from '../schemas/plan';
import { isStorable } from '../schemas/storable';
import type { Http } from '../sdk/http';
import { describeFiles, uploadFiles } from '../sdk/uploads';
import type { LocalFile } from '../sdk/uploads';
import { readContractFile } from './contract-file';
import type { Workplace } from './contract';

/** Where a step has left its outputs. */
export interface LeftBehind extends Pick<Workplace, 'cwd' | 'outputDir'> {
  /** The only user whose files are taken; everyone's if undefined. */
  readonly owner: number | undefined;
  /** Hears of what is no failure, but hardly meant. */
  readonly note: (text: string) => void;
}
/** Plain outputs are at most 1 KiB each: what is longer than all of them is something else. */
const VALUES_BYTES_MAX = 1024 * 1024;

/**
 * Uploads what a step has left behind and commits it. STEP_OUTPUT_MISSING names all that is not there
 * or cannot be read, before anything is uploaded.
 */
export async function commitOutputs(
  http: Http,
  spec: StepSpec,
  left: LeftBehind,
): Promise<Outputs> {
  const problems: string[] = [];
  const found = await findFiles(spec, left, problems);
  const values = await readValues(spec, left, problems);
  if (problems.length > 0) throw new AppError('STEP_OUTPUT_MISSING', problems.join(' '));
  const artifacts: Record<string, Manifest> = {};
  for (const [name, files] of found) artifacts[name] = await uploadFiles(http, files);
  const body = { artifacts, values };
  const { outputs } = await http.post<{ outputs: Outputs }>('/api/v1/attempts/self/commit', body);
  return outputs;
}

async function findFiles(
  spec: StepSpec,
  left: LeftBehind,
  problems: string[],
): Promise<Map<string, LocalFile[]>> {
  const found = new Map<string, LocalFile[]>();
  for (const [name, output] of Object.entries(spec.outputs ?? {})) {
    if (!('kind' in output)) continue;
    // a declared path is relative to the working folder; without one, the output folder holds it
    const file =
      output.path === undefined ? join(left.outputDir, name) : resolve(left.cwd, output.path);
    const where = output.path ?? `$ANNEAL_OUTPUT_DIR/${name}`;
    const files = existsSync(file) ? await describe(name, file, left) : undefined;
    if (files !== undefined && files.length > 0) found.set(name, files);
    else {
      const what =
        files === undefined ? 'the step wrote nothing at' : 'there is an empty folder at';
      problems.push(
        `The output '${name}' is missing: ${what} ${where}. Write the ${output.kind} there.`,
      );
    }
  }
  return found;
}

/** Refusals and notes say which output they are about. */
async function describe(name: string, file: string, left: LeftBehind): Promise<LocalFile[]> {
  const note = (text: string): void => {
    left.note(`The output '${name}': ${text}`);
  };
  try {
    return await describeFiles(file, { owner: left.owner, note });
  } catch (error) {
    if (!isAppError(error)) throw error;
    throw new AppError(error.code, `The output '${name}': ${error.message}`);
  }
}

/** The plain outputs that a step declares; the file is not looked at if there are none. */
async function readValues(
  spec: StepSpec,
  { outputDir, owner, note }: LeftBehind,
  problems: string[],
): Promise<Readonly<Record<string, unknown>>> {
  const declared = Object.entries(spec.outputs ?? {});
  const wanted = declared.filter(([, output]) => 'value' in output).map(([name]) => name);
  if (wanted.length === 0) return {};
  const name = '$ANNEAL_OUTPUT_DIR/outputs.json';
  const file = join(outputDir, 'outputs.json');
  const example = `{"${wanted[0] ?? ''}": 0.93}`;
  const read = await readContractFile({ file, owner, name, example, bytesMax: VALUES_BYTES_MAX });
  if (read === undefined || 'problem' in read) {
    const names = wanted.map((value) => `'${value}'`).join(', ');
    const why = read?.problem ?? `the step wrote no ${name}. Write ${example} there.`;
    problems.push(`The output ${names} is missing: ${why}`);
    return {};
  }
  const { value } = read;
  const known = declared.map(([key]) => key);
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) {
    note(
      `${name} holds ${unknown.join(', ')}, which the step does not declare among its outputs: not kept.`,
    );
  }
  for (const key of wanted) {
    if (!(key in value)) problems.push(absent(key, name, unknown));
    else if (!isStorable(value[key])) {
      problems.push(`The output '${key}' in ${name} holds a NUL or half a character: take it out.`);
    }
  }
  return Object.fromEntries(wanted.map((key) => [key, value[key]]));
}

/** A name that is there but not declared may be the one that was meant. */
function absent(key: string, name: string, unknown: readonly string[]): string {
  const instead = unknown.length === 0 ? '' : `, only ${unknown.join(', ')}`;
  return `The output '${key}' is missing: ${name} does not hold it${instead}. Write it there.`;
}
