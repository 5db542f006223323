import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { environment } from '../config/config';
import { AppError } from '../errors/app-error';

/** Programs that are not npm packages. `scripts/setup.mjs` puts them into the cache. */
export type Tool = 'temporal' | 'versitygw';

/** Where set-up keeps programs between clones. */
export const TOOL_CACHE = join(homedir(), '.cache', 'anneal', 'bin');

/** The path of a program: PATH first, then the cache; CONFIG_INVALID if there is none. */
export function findTool(name: Tool): string {
  const folders = [...(environment()['PATH'] ?? '').split(delimiter), TOOL_CACHE];
  const found = folders.map((folder) => join(folder, name)).find(isProgram);
  if (found !== undefined) return found;
  const message = `The program '${name}' is neither on the PATH nor in ${TOOL_CACHE}; run: npm run setup`;
  throw new AppError('CONFIG_INVALID', message);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
