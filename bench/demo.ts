/** How long `npm run demo` takes after set-up: npm run bench -- demo [--times 3] */
import { parseArgs } from 'node:util';
import { buildOnce } from '../tests/support/dev-stack';
import { runScript } from './npm-script';
import { printRows } from './report';

const { values } = parseArgs({ options: { times: { type: 'string', default: '3' } } });

buildOnce();
const told = Array.from({ length: Number(values.times) }, () => runScript('demo'));
const what = '`npm run demo` after set-up';
const command = 'npm run bench -- demo';
printRows([
  { what, goal: '≤ 90', unit: 's', samples: told.map((one) => one.wallS), command },
  { what: `${what}, CPU`, unit: 's', samples: told.map((one) => one.cpuS), command },
]);
