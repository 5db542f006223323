/** How long `npm run demo` takes after set-up: npm run bench -- demo [--times 3] */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildOnce } from '../tests/support/dev-stack';
import { printRows, seconds } from './report';

const { values } = parseArgs({ options: { times: { type: 'string', default: '3' } } });

function demo(): number {
  const started = performance.now();
  const cwd = join(__dirname, '..');
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'demo'], { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the demo ended with ${status ?? '?'}:\n${stdout}${stderr}`);
  return seconds(started);
}

buildOnce();
const samples = Array.from({ length: Number(values.times) }, demo);
const command = 'npm run bench -- demo';
printRows([{ what: '`npm run demo` after set-up', goal: '≤ 90', unit: 's', samples, command }]);
