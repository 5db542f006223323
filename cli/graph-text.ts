import type { StepStatus } from '../schemas/pipeline-runs';
import type { RunGraph, RunGraphNode } from '../schemas/run-graph';
import { describeCounts, describeSeconds } from './run-text';

const MARKS: Readonly<Record<StepStatus, string>> = {
  succeeded: '✓',
  failed: '✗',
  running: '●',
  retrying: '↻',
  waiting: '·',
  skipped: '-',
  cancelled: '⊘',
};
/** Deeper ones are not moved further to the right: a chain may be as long as the graph. */
const INDENT_MAX = 8;
const NEEDS_SHOWN_MAX = 3;
/** So many alike in a row become one line. */
const FOLD_MIN = 4;
/** A screen or two; what failed or is under way is never left out for the others. */
const LINES_MAX = 120;

/** One line, or several steps in one. */
interface Line {
  readonly nodes: readonly RunGraphNode[];
  readonly depth: number;
  readonly needs: readonly string[];
}

/** A graph as lines: a mark, the step behind those that it needs, and their names. */
export function renderGraph(
  graph: RunGraph,
  { isFull }: { readonly isFull: boolean },
): readonly string[] {
  const lines = toLines(graph);
  if (isFull) return lines.map(renderLine);
  return choose(fold(lines));
}

function toLines({ nodes, edges }: RunGraph): Line[] {
  const needs = new Map<string, string[]>();
  for (const { from, to } of edges) {
    const list = needs.get(to);
    if (list === undefined) needs.set(to, [from]);
    else list.push(from);
  }
  const depths = new Map<string, number>();
  return nodes.map((node) => {
    const own = needs.get(node.key) ?? [];
    const depth = own.reduce((most, key) => Math.max(most, (depths.get(key) ?? 0) + 1), 0);
    depths.set(node.key, depth);
    return { nodes: [node], depth, needs: own };
  });
}

/** Steps in a row whose names differ by numbers only and that stand alike become one line. */
function fold(lines: readonly Line[]): Line[] {
  const rows: Line[][] = [];
  for (const line of lines) {
    const row = rows.at(-1);
    if (row !== undefined && stemOf(row[0]) === stemOf(line)) row.push(line);
    else rows.push([line]);
  }
  return rows.flatMap((row) => {
    const [first] = row;
    if (first === undefined || row.length < FOLD_MIN) return row;
    return [{ ...first, nodes: row.flatMap(({ nodes }) => nodes) }];
  });
}

function stemOf(line: Line | undefined): string {
  const [node] = line?.nodes ?? [];
  if (node === undefined || node.steps !== null) return node?.key ?? '';
  return `${node.key.replace(/\d+/g, '#')} ${node.status}`;
}

/** At most so many lines; a gap says what was left out. */
function choose(lines: readonly Line[]): string[] {
  if (lines.length <= LINES_MAX) return lines.map(renderLine);
  const interest = ({ nodes }: Line): number => {
    const { status } = nodes[0] ?? { status: 'waiting' };
    if (status === 'failed') return 0;
    return status === 'running' || status === 'retrying' ? 1 : 2;
  };
  const byInterest = [...lines].sort((a, b) => interest(a) - interest(b));
  const chosen = new Set(byInterest.slice(0, LINES_MAX));
  const text: string[] = [];
  let gap: RunGraphNode[] = [];
  const endGap = (): void => {
    if (gap.length > 0) text.push(`  … ${describeNodes(gap)}`);
    gap = [];
  };
  for (const line of lines) {
    if (!chosen.has(line)) {
      gap.push(...line.nodes);
      continue;
    }
    endGap();
    text.push(renderLine(line));
  }
  endGap();
  return [...text, '(--full shows every one)'];
}

function renderLine({ nodes, depth, needs }: Line): string {
  const [first] = nodes;
  const last = nodes.at(-1);
  if (first === undefined || last === undefined) return '';
  const name = nodes.length === 1 ? first.key : `${first.key} … ${last.key}`;
  const parts = [
    MARKS[first.status],
    ' '.repeat(2 * Math.min(depth, INDENT_MAX)) + name,
    nodes.length === 1 ? describeNode(first, needs) : `[${describeNodes(nodes)}]`,
    describeNeeds(needs),
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function describeNode(node: RunGraphNode, needs: readonly string[]): string {
  const { steps, startedAt, endedAt } = node;
  if (node.isUnknown === true) {
    const last = needs.slice(0, NEEDS_SHOWN_MAX).join(', ');
    return `[expands when ${last === '' ? 'its turn comes' : `${last} ${needs.length > 1 ? 'have' : 'has'} ended`}]`;
  }
  const counts = steps === null ? '' : `[${describeCounts(steps)}]`;
  if (startedAt === null || endedAt === null) return counts;
  const seconds = (Date.parse(endedAt) - Date.parse(startedAt)) / 1000;
  return [counts, describeSeconds(seconds)].filter((part) => part !== '').join(' ');
}

function describeNodes(nodes: readonly RunGraphNode[]): string {
  const byStatus: Partial<Record<StepStatus, number>> = {};
  for (const { status } of nodes) byStatus[status] = (byStatus[status] ?? 0) + 1;
  return describeCounts({ total: nodes.length, byStatus });
}

function describeNeeds(needs: readonly string[]): string {
  if (needs.length === 0) return '';
  const shown = needs.slice(0, NEEDS_SHOWN_MAX).join(', ');
  const more = needs.length - NEEDS_SHOWN_MAX;
  return `← ${shown}${more > 0 ? ` and ${more} more` : ''}`;
}
