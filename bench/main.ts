/**
 * Every figure of docs/performance.md: npm run bench -- NAME [flags]. Each file says what it takes.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const NAMES = [
  'check',
  'compile',
  'start',
  'demo',
  'engine',
  'ingest',
  'peers',
  'pipeline',
  'registry',
  'strain',
  'tracking',
];
const [name = '', ...flags] = process.argv.slice(2);
if (NAMES.includes(name)) {
  // as a process of its own: a benchmark should carry nothing but what it measures
  const args = ['--require', 'esbuild-register', join(__dirname, `${name}.ts`), ...flags];
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
} else {
  console.error(`bench: there is no benchmark '${name}'. Give one of: ${NAMES.join(', ')}.`);
  process.exitCode = 2;
}
