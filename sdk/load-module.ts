import { build } from 'esbuild';
import type { BuildOptions, Metafile } from 'esbuild';
import { createRequire } from 'node:module';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import { compileFunction } from 'node:vm';
import * as zod from 'zod';
import { AppError } from '../errors/app-error';
import * as anneal from './index';

/** A user's TypeScript or JavaScript file, loaded together with the files it imports. */
export interface LoadedModule {
  /** What the file itself exports. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** The exports of it and of every file of the project it imports, by `./path` from its folder. */
  readonly files: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

/**
 * Bundles and runs a file. `anneal` and `zod` in it are ours, so that both sides mean the same
 * classes; other packages come from the project's own node_modules. INVALID_PLAN if it cannot be
 * compiled or throws while it is loaded.
 */
export async function loadModule(file: string): Promise<LoadedModule> {
  const path = resolve(file);
  const folder = dirname(path);
  const first = await bundle({ entryPoints: [path], absWorkingDir: folder, write: false });
  const files = ownFiles(first.metafile, folder);
  // one more entry that names every file: so their exports can be told apart after bundling
  const contents = files
    .map((name, i) => `import * as m${i} from ${JSON.stringify(name)}; exports[${i}] = m${i};`)
    .join('\n');
  const second = await bundle({
    stdin: { contents, resolveDir: folder, sourcefile: 'anneal-entry.cjs', loader: 'ts' },
    absWorkingDir: folder,
    write: false,
  });
  const loaded = execute(second.text, path);
  const byName = files.map((name, i) => [name, loaded[i] ?? {}] as const);
  const own = `./${basename(path)}`;
  return { exports: new Map(byName).get(own) ?? {}, files: new Map(byName) };
}

async function bundle(options: BuildOptions): Promise<{ metafile: Metafile; text: string }> {
  try {
    const result = await build({
      ...options,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      packages: 'external',
      external: ['anneal', 'zod'], // also where a tsconfig maps them elsewhere
      // a script run by vm has no loader for import(): it becomes require()
      supported: { 'dynamic-import': false },
      sourcemap: 'inline',
      metafile: true,
      outfile: 'anneal-bundle.js',
      logLevel: 'silent',
    });
    return { metafile: result.metafile, text: result.outputFiles?.[0]?.text ?? '' };
  } catch (error) {
    throw new AppError('INVALID_PLAN', `The file cannot be compiled. ${firstError(error)}`, {
      cause: error,
    });
  }
}

/** esbuild's first message with its place; it is about the user's own text. */
function firstError(error: unknown): string {
  const { errors } = error as {
    errors?: { text: string; location: { file: string; line: number; column: number } | null }[];
  };
  const first = errors?.[0];
  if (first === undefined) return error instanceof Error ? error.message : String(error);
  const at = first.location;
  return `${at === null ? '' : `${at.file}:${at.line}:${at.column + 1}: `}${first.text}`;
}

/**
 * The files of the project that went into a bundle, as `./path`; a file stands behind those it
 * imports, so that what defines a thing comes before what exports it again.
 */
function ownFiles(metafile: Metafile, folder: string): string[] {
  const ordered = new Set<string>();
  const begun = new Set<string>();
  const visit = (name: string): void => {
    if (begun.has(name)) return;
    begun.add(name);
    for (const { path } of metafile.inputs[name]?.imports ?? []) visit(path);
    if (metafile.inputs[name] !== undefined) ordered.add(name);
  };
  for (const name of Object.keys(metafile.inputs).sort()) visit(name);
  return [...ordered]
    .filter((name) => /\.[cm]?[jt]sx?$/.test(name))
    .map((name) => relative(folder, resolve(folder, name)).split(sep).join('/'))
    .map((name) => (name.startsWith('.') ? name : `./${name}`));
}

/** Else the command that reads the file would end without a word, as if all were well. */
const guarded = new Proxy(process, {
  get: (target, key) => (key === 'exit' ? refuseExit : (Reflect.get(target, key) as unknown)),
});
function refuseExit(): never {
  throw new Error('it called process.exit(): a pipeline file only says what its steps are');
}

function execute(code: string, path: string): Readonly<Record<string, unknown>>[] {
  const projectRequire = createRequire(path);
  const ours = new Map<string, unknown>([
    ['anneal', anneal],
    ['zod', zod],
  ]);
  const require = Object.assign(
    (name: string): unknown => (ours.has(name) ? ours.get(name) : projectRequire(name)),
    { resolve: projectRequire.resolve },
  );
  const module = { exports: [] as Readonly<Record<string, unknown>>[] };
  try {
    const parameters = ['exports', 'require', 'module', '__filename', '__dirname', 'process'];
    const run = compileFunction(code, parameters, { filename: path }) as (
      ...args: unknown[]
    ) => void;
    run(module.exports, require, module, path, dirname(path), guarded);
  } catch (error) {
    // what the file threw may be of another realm: instanceof does not hold there
    const { message: said = String(error) } = (error ?? {}) as { readonly message?: string };
    const message = `The file failed while it was loaded: ${said}`;
    throw new AppError('INVALID_PLAN', message, { cause: error });
  }
  return module.exports;
}
