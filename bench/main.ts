/**
 * Every figure of docs/performance.md: npm run bench -- NAME [--json PATH] [flags]. Each file says what
 * else it takes. The figures are printed as a table and, with --json, written as one JSON document.
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
const at = flags.indexOf('--json');
const [, json = ''] = at < 0 ? [] : flags.splice(at, 2);
if (NAMES.includes(name)) {
  // as a process of its own: a benchmark should carry nothing but what it measures
  const args = ['--require', 'esbuild-register', join(__dirname, `${name}.ts`), ...flags];
  const env = { ...process.env, ANNEAL_BENCH_JSON: json };
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1;
} else {
  console.error(`bench: there is no benchmark '${name}'. Give one of: ${NAMES.join(', ')}.`);
  process.exitCode = 2;
}
