// Transpiles the source folders to dist/ (CommonJS, one file for each) and bundles the workflows.
// Does nothing when no source has changed since the last time.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const DIST = join(ROOT, 'dist');
const STAMP = '.stamp';
const FOLDERS = [
  ...['schemas', 'errors', 'config', 'dag', 'storage', 'tracker', 'registry', 'pipelines'],
  ...['activities', 'workflows', 'api', 'workers', 'steps', 'sdk', 'cli', 'dev'],
];
/** Two builds may end at the same moment, on a shared working tree. */
const SWAP_TRIES = 5;

const files = FOLDERS.flatMap(filesIn);
const stamp = hashOf([...files, 'package-lock.json', 'tsconfig.json', 'scripts/build.mjs']);
if (readStamp() === stamp) {
  console.log('build: up to date');
} else {
  const started = Date.now();
  await build().catch((error) => {
    if (!Array.isArray(error.errors)) throw error;
    process.exit(1); // esbuild has printed each mistake with its place
  });
  console.log(`build: ${files.length} files in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** Beside dist/ first, then in its place at once: what runs never sees half of a build. */
async function build() {
  const fresh = join(ROOT, 'node_modules', '.cache', `build-${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  try {
    await transpile(fresh);
    copySql(fresh);
    await bundleWorkflows(fresh);
    writeFileSync(join(fresh, STAMP), stamp);
    swap(fresh);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function transpile(outdir) {
  const esbuild = createRequire(import.meta.url)('esbuild');
  const { outputFiles } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: files.filter((file) => extname(file) === '.ts'),
    outdir: 'dist',
    outbase: '.',
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    write: false, // the maps are for where the files end up
    logLevel: 'warning',
  });
  for (const { path, contents } of outputFiles) {
    const file = join(outdir, relative(DIST, path));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, contents);
  }
}

function copySql(outdir) {
  for (const file of files.filter((name) => extname(name) === '.sql')) {
    mkdirSync(dirname(join(outdir, file)), { recursive: true });
    copyFileSync(join(ROOT, file), join(outdir, file));
  }
}

/** Once per build instead of at every start of the control worker. */
async function bundleWorkflows(outdir) {
  const workflowsPath = join(outdir, 'workflows', 'index.js');
  if (!existsSync(workflowsPath)) {
    console.log('build: no workflows/index.ts, so no workflow bundle');
    return;
  }
  const { bundleWorkflowCode } = createRequire(import.meta.url)('@temporalio/worker');
  const silent = () => undefined;
  const { warn, error } = console;
  const logger = { trace: silent, debug: silent, info: silent, log: silent, warn, error };
  const { code } = await bundleWorkflowCode({ workflowsPath, logger });
  writeFileSync(join(outdir, 'workflow-bundle.js'), code);
}

function swap(fresh) {
  const old = `${fresh}-old`;
  for (let i = 1; ; i += 1) {
    try {
      if (existsSync(DIST)) renameSync(DIST, old);
      renameSync(fresh, DIST);
      break;
    } catch (error) {
      if (i === SWAP_TRIES) throw error;
    } finally {
      rmSync(old, { recursive: true, force: true });
    }
  }
}

function filesIn(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    })
    .sort();
}

function hashOf(names) {
  const hash = createHash('sha256');
  for (const name of names) hash.update(name).update(readFileSync(join(ROOT, name)));
  return hash.digest('hex');
}

function readStamp() {
  const file = join(DIST, STAMP);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
