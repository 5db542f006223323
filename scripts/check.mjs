// Runs the static checks side by side on two cores and prints one line for each, failures in full.
import { spawn } from 'node:child_process';

const CHECKS = [
  ['types', ['tsc', '--noEmit', '-p', '.']],
  [
    'lint',
    [
      'eslint',
      '.',
      '--max-warnings',
      '0',
      '--cache',
      '--cache-location',
      'node_modules/.cache/eslint/',
    ],
  ],
  ['format', ['prettier', '--check', '.', '--log-level', 'warn', '--cache']],
  ['boundaries', ['depcruise', '--config', '.dependency-cruiser.cjs', '--output-type', 'err', '.']],
  ['dead code', ['knip', '--no-progress']],
  ['house rules', ['jest', '--selectProjects', 'unit', '--silent', 'tests/unit/tidy.test.ts']],
];
const AT_ONCE = 2; // more than the cores makes each slower without ending earlier

function run([name, [bin, ...args]]) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn('npx', ['--no-install', bin, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    child.on('close', (code) => {
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
      if (code !== 0) console.log(text);
      resolve(code === 0);
    });
  });
}

const waiting = [...CHECKS];
const results = [];
async function drain() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    results.push(await run(next));
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, drain));
const failed = results.filter((ok) => !ok).length;
console.log(`check: ${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
