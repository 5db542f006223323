/** How long `npm run check` takes without anything kept from before: npm run bench -- check [--times 3] */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, runScript } from './npm-script';
import { printRows } from './report';

const { values } = parseArgs({ options: { times: { type: 'string', default: '3' } } });

function coldCheck() {
  rmSync(join(ROOT, 'node_modules/.cache'), { recursive: true, force: true });
  return runScript('check');
}

const told = Array.from({ length: Number(values.times) }, coldCheck);
const what = '`npm run check`, no caches';
const command = 'npm run bench -- check';
printRows([
  { what, goal: '< 40', unit: 's', samples: told.map((one) => one.wallS), command },
  { what: `${what}, CPU`, unit: 's', samples: told.map((one) => one.cpuS), command },
]);
