/** How long `npm run demo` takes after set-up: npm run bench -- demo [--times 3] */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildOnce } from '../tests/support/dev-stack';
import { cpuSeconds } from './cpu';
import { printRows, seconds } from './report';

const { values } = parseArgs({ options: { times: { type: 'string', default: '3' } } });

interface Told {
  readonly wallS: number;
  /** Of all its processes: other work changes it far less than a time. */
  readonly cpuS: number;
}

function demo(): Told {
  const started = performance.now();
  const before = cpuSeconds(process.pid);
  const cwd = join(__dirname, '..');
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'demo'], { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the demo ended with ${status ?? '?'}:\n${stdout}${stderr}`);
  return { wallS: seconds(started), cpuS: cpuSeconds(process.pid) - before };
}

buildOnce();
const told = Array.from({ length: Number(values.times) }, demo);
const what = '`npm run demo` after set-up';
const command = 'npm run bench -- demo';
printRows([
  { what, goal: '≤ 90', unit: 's', samples: told.map((one) => one.wallS), command },
  { what: `${what}, CPU`, unit: 's', samples: told.map((one) => one.cpuS), command },
]);
