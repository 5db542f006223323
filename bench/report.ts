import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

/** One figure: its samples, or a single number as one sample. */
export interface Figure {
  readonly what: string;
  /** What it should be, such as `≤ 6`; '' without a goal. */
  readonly goal?: string;
  readonly unit: string;
  readonly samples: readonly number[];
  readonly command: string;
}

/** Nearest rank: the smallest sample that at least the part q of all samples do not exceed. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}

/** `1234.5` → `1 235`, `12.34` → `12.3`, `1.234` → `1.23`. */
export function format(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\B(?=(\d{3})+$)/g, ' ');
}

export function seconds(sinceMs: number): number {
  return (performance.now() - sinceMs) / 1000;
}

/** Of the last minute, before and after: other work on the machine makes every figure worse. */
const loadBefore = load();
function load(): string {
  return (loadavg()[0] ?? NaN).toFixed(1);
}

/**
 * Prints rows for the table of docs/performance.md, with the machine they were measured on; writes the
 * same with all samples to the file that `--json` names.
 */
export function printRows(figures: readonly Figure[]): void {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const machine = `${cpus().length} cores, ${cpu?.model ?? '?'}, ${memory} GiB, Node ${process.version}`;
  const path = process.env['ANNEAL_BENCH_JSON'] ?? '';
  if (path !== '') {
    const loads = { before: loadBefore, after: load() };
    const document = { machine, at: new Date().toISOString(), loads, figures };
    writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`);
  }
  console.log(`\n${machine}`);
  console.log('\n| figure | unit | goal | p50 | p95 | p99 | worst | n | load | date | command |');
  console.log('|---|---|---|---|---|---|---|---|---|---|---|');
  for (const figure of figures) console.log(row(figure));
}

/** Of a rate or a ratio, p95 is what 95 % of the samples reach or exceed. */
function row({ what, unit, goal = '', samples, command }: Figure): string {
  const costs = unit.endsWith('/s') || unit === '×' ? samples.map((rate) => -rate) : samples;
  const quantiles = [0.5, 0.95, 0.99, 1].map((q) => format(Math.abs(quantile(costs, q))));
  const date = new Date().toISOString().slice(0, 10);
  const loads = `${loadBefore} → ${load()}`;
  const cells = [what, unit, goal, ...quantiles, samples.length, loads, date];
  return `| ${cells.join(' | ')} | \`${command}\` |`;
}
