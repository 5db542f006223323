/**
 * How fast plans are compiled, checked, expanded and written, in one process:
 *   npm run bench -- compile [--steps 10000] [--rounds 5]
 * Nothing else runs in it; the first round is cold.
 */
import { parseArgs } from 'node:util';
import { expandGraph } from '../dag/expand';
import { ReadyQueue } from '../dag/ready-queue';
import { preparePlan } from '../pipelines/plans';
import type { Plan } from '../schemas/plan';
import { pipeline } from '../sdk/pipeline';
import { compileYaml } from '../sdk/pipeline-yaml';
import { planToYaml } from '../sdk/plan-yaml';
import { printRows, type Figure } from './report';

const { values: options } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
  },
});
const steps = Number(options.steps);
const rounds = Number(options.rounds);
const command = 'npm run bench -- compile';

function yaml(lines: (i: number) => string, count = steps): string {
  const all = Array.from({ length: count }, (_, i) => lines(i));
  return `version: 1\nname: bench\nparams: { lr: 0.1 }\nsteps:\n${all.join('\n')}\n`;
}

/** Texts of pipelines, by shape; each holds `steps` steps. */
const SHAPES: Readonly<Record<string, string>> = {
  independent: yaml((i) => `  s${i}: { run: x }`),
  chain: yaml((i) => {
    const inputs = i === 0 ? '' : `, inputs: { x: steps.s${i - 1}.outputs.x }`;
    return `  s${i}: { run: x, outputs: { x: value }${inputs} }`;
  }),
  // every tenth step reads the four before it
  fanIn: yaml((i) => {
    const before = Array.from({ length: 4 }, (_, j) => `x${j}: steps.s${i - 4 + j}.outputs.x`);
    const inputs = i % 10 === 9 ? `, inputs: { ${before.join(', ')} }` : '';
    return `  s${i}: { run: 'x \${{ params.lr }}', outputs: { x: value }${inputs} }`;
  }),
  // sub-pipelines of nine steps
  nested: yaml((i) => {
    const inner = Array.from({ length: 9 }, (_, j) => {
      const after = j === 0 ? '' : `, after: [t${j - 1}]`;
      return `      t${j}: { run: x${after} }`;
    });
    return `  g${i}:\n    steps:\n${inner.join('\n')}`;
  }, steps / 10),
};

function compileTyped(): Plan {
  return pipeline('bench', {}, (_p, s) => {
    for (let i = 0; i < steps; i += 1) s.command(`s${i}`, { argv: ['x'] });
  }).compile();
}

/** Milliseconds of CPU of each round: other work on the machine changes little. The first is cold. */
function time(work: () => unknown): number[] {
  return Array.from({ length: rounds }, () => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
}

function figures(shape: string, text: string): Figure[] {
  const plan = compileYaml(text);
  const of = (what: string, samples: number[], goal = ''): Figure => ({
    what: `${what}, ${steps} steps, ${shape}`,
    goal,
    unit: 'ms CPU',
    samples,
    command,
  });
  const graph = (): unknown => new ReadyQueue(expandGraph(plan, { lr: 0.1 })).take();
  return [
    of(
      'compile YAML',
      time(() => compileYaml(text)),
      '≤ 1 000',
    ),
    of(
      'check and expand a plan',
      time(() => preparePlan({ plan, params: {} })),
    ),
    of('expand a plan and find what is ready', time(graph)),
    of(
      'write a plan as YAML',
      time(() => planToYaml(plan)),
    ),
  ];
}

const compiled = Object.entries(SHAPES).flatMap(([shape, text]) => figures(shape, text));
const typed = {
  what: `compile TypeScript, ${steps} steps, independent`,
  goal: '≤ 1 000',
  unit: 'ms CPU',
  samples: time(compileTyped),
  command,
};
printRows([...compiled, typed]);
