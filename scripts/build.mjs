// Transpiles the source folders to dist/ (CommonJS, one file for each) and bundles the workflows.
// Does nothing when no source has changed since the last time.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const FOLDERS = [
  'schemas', 'errors', 'config', 'dag', 'storage', 'tracker', 'registry', 'pipelines', 'activities',
  'workflows', 'api', 'workers', 'steps', 'sdk', 'cli', 'dev',
];
const STAMP = join(ROOT, 'dist', '.stamp');

function filesIn(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    })
    .sort();
}

const files = FOLDERS.flatMap(filesIn);
const hash = createHash('sha256');
for (const file of [...files, 'package-lock.json', 'scripts/build.mjs']) {
  hash.update(file).update(readFileSync(join(ROOT, file)));
}
const stamp = hash.digest('hex');
if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) {
  console.log('build: up to date');
  process.exit(0);
}

const started = Date.now();
const require = createRequire(import.meta.url);
const esbuild = require('esbuild');
rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
await esbuild.build({
  absWorkingDir: ROOT,
  entryPoints: files.filter((file) => extname(file) === '.ts'),
  outdir: 'dist',
  outbase: '.',
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
});
for (const file of files.filter((name) => extname(name) === '.sql')) {
  mkdirSync(dirname(join(ROOT, 'dist', file)), { recursive: true });
  cpSync(join(ROOT, file), join(ROOT, 'dist', file));
}
if (existsSync(join(ROOT, 'dist', 'workflows', 'index.js'))) {
  const { bundleWorkflowCode } = require('@temporalio/worker');
  const quiet = { trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error, log() {} };
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(ROOT, 'dist', 'workflows', 'index.js'),
    logger: quiet,
  });
  writeFileSync(join(ROOT, 'dist', 'workflow-bundle.js'), code);
}
writeFileSync(STAMP, stamp);
console.log(`build: ${files.length} files in ${((Date.now() - started) / 1000).toFixed(1)} s`);
