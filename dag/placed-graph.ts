import type { Graph, GraphNode, NodeEnd, NodeGroup, NodeSettings } from '../schemas/graph';
import type { StepStatus } from '../schemas/pipeline-runs';
import type { RunGraph, RunGraphNode, StepCounts } from '../schemas/run-graph';
import { Heap } from './heap';
import { endOfJoin } from './joins';

/** What is known of one step of a run. */
export interface StepState {
  readonly key: string;
  readonly status: StepStatus;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
}
export interface PlacedNode extends StepState {
  readonly node: GraphNode;
}
/** A graph with the state of every node; nodes come before those that need them. */
export interface PlacedGraph {
  readonly nodes: ReadonlyMap<string, PlacedNode>;
  readonly settings: readonly NodeSettings[];
  readonly groups: Readonly<Record<string, NodeGroup>>;
}

const ENDS: Readonly<Partial<Record<StepStatus, NodeEnd>>> = {
  succeeded: 'succeeded',
  failed: 'failed',
  skipped: 'skipped',
  cancelled: 'cancelled',
};

/** True for a status that stays, unless somebody has the step run again. */
export function isEnded(status: StepStatus): boolean {
  return ENDS[status] !== undefined;
}

/** Puts the steps of a run into its graph; items that became known late are added to their foreach. */
export function placeSteps(graph: Graph, steps: readonly StepState[]): PlacedGraph {
  const states = new Map(steps.map((step) => [step.key, step]));
  const nodes = new Map<string, PlacedNode>();
  for (const node of inOrder(withLateItems(graph.nodes, steps))) {
    const known = states.get(node.key);
    const { key } = node;
    const none = { key, status: 'waiting' as const, startedAtMs: undefined, endedAtMs: undefined };
    const state = known ?? (node.kind === 'join' ? stateOfJoin(node, nodes, graph.groups) : none);
    nodes.set(key, { ...state, node });
  }
  return { nodes, settings: graph.settings, groups: graph.groups };
}

/** A foreach whose list was known late becomes the join of its items, as in the queue of the run. */
function withLateItems(nodes: readonly GraphNode[], steps: readonly StepState[]): GraphNode[] {
  const known = new Map(nodes.map((node) => [node.key, node]));
  const late = new Map<string, GraphNode[]>();
  for (const { key } of steps) {
    if (known.has(key)) continue;
    const before = foreachOf(key, known);
    if (before === undefined) continue;
    const item: GraphNode = { ...before, key, kind: 'step', group: before.key };
    const items = late.get(before.key);
    if (items === undefined) late.set(before.key, [item]);
    else items.push(item);
  }
  return nodes.flatMap((node) => {
    const items = late.get(node.key);
    if (items === undefined) return [node];
    return [...items, { ...node, kind: 'join', needs: items.map(({ key }) => key) }];
  });
}

/** The innermost foreach, known late, that a step is an item of, or is in an item of. */
function foreachOf(key: string, known: ReadonlyMap<string, GraphNode>): GraphNode | undefined {
  for (let at = key.lastIndexOf('['); at > 0; at = key.lastIndexOf('[', at - 1)) {
    const before = known.get(key.slice(0, at));
    if (before?.kind === 'expand') return before;
  }
  return undefined;
}

/** The nodes, each behind what it waits for, otherwise as they were. */
export function inOrder(nodes: readonly GraphNode[]): GraphNode[] {
  const at = new Map(nodes.map(({ key }, i) => [key, i]));
  const before = nodes.map((node) => needsOf(node).flatMap((key) => at.get(key) ?? []));
  const behind = nodes.map((): number[] => []);
  for (const [i, needs] of before.entries()) for (const need of needs) behind[need]?.push(i);
  const open = before.map((needs) => needs.length);
  const ready = new Heap<number>((a, b) => a < b);
  for (const [i, count] of open.entries()) if (count === 0) ready.push(i);
  const ordered: GraphNode[] = [];
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    ordered.push(...nodes.slice(next, next + 1));
    for (const i of behind[next] ?? []) {
      const left = (open[i] ?? 0) - 1;
      open[i] = left;
      if (left === 0) ready.push(i);
    }
  }
  return ordered;
}

/** The keys that a node waits for. */
export function needsOf({ needs, after }: GraphNode): readonly string[] {
  return after === undefined ? needs : [...needs, ...after];
}

/** Joins have no row: how one stands follows from what it joins. */
function stateOfJoin(
  { key, needs }: GraphNode,
  nodes: ReadonlyMap<string, PlacedNode>,
  groups: Graph['groups'],
): StepState {
  const parts = needs.flatMap((need) => nodes.get(need) ?? []);
  const startedAtMs = least(parts.map((part) => part.startedAtMs));
  const ends = parts.flatMap((part) => {
    const end = ENDS[part.status];
    return end === undefined ? [] : [{ key: part.key, end }];
  });
  if (ends.length < parts.length) {
    const isBegun = parts.some(({ status }) => status !== 'waiting');
    return { key, status: isBegun ? 'running' : 'waiting', startedAtMs, endedAtMs: undefined };
  }
  const isCancelled = ends.some(({ end }) => end === 'cancelled');
  const { end } = endOfJoin(key, ends, groups[key]?.minSuccess ?? 1);
  const joined = end === 'blocked' ? 'skipped' : end;
  const times = parts.flatMap(({ endedAtMs }) => endedAtMs ?? []);
  const endedAtMs = times.length === 0 ? undefined : Math.max(...times);
  return { key, status: isCancelled ? 'cancelled' : joined, startedAtMs, endedAtMs };
}

function least(times: readonly (number | undefined)[]): number | undefined {
  const known = times.flatMap((time) => time ?? []);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** The graph as it is shown: every node, or each foreach and sub-pipeline as one with counts. */
export function showGraph(placed: PlacedGraph, { isFull }: { readonly isFull: boolean }): RunGraph {
  const rootOf = (key: string): string => {
    let at = placed.nodes.get(key)?.node;
    while (!isFull && at?.group !== undefined) at = placed.nodes.get(at.group)?.node ?? undefined;
    return at?.key ?? key;
  };
  const edges = new Map<string, RunGraph['edges'][number]>();
  const inside = new Map<string, PlacedNode[]>();
  for (const placedNode of placed.nodes.values()) {
    const to = rootOf(placedNode.key);
    for (const need of needsOf(placedNode.node)) {
      const from = rootOf(need);
      if (from !== to) edges.set(`${from} ${to}`, { from, to });
    }
    if (to === placedNode.key || placedNode.node.kind === 'join') continue;
    const list = inside.get(to);
    if (list === undefined) inside.set(to, [placedNode]);
    else list.push(placedNode);
  }
  const shown = [...placed.nodes.values()].filter(({ key }) => rootOf(key) === key);
  const nodes = shown.map((placedNode) => toShown(placedNode, inside.get(placedNode.key)));
  return { nodes, edges: [...edges.values()] };
}

function toShown(
  { key, node, status, startedAtMs, endedAtMs }: PlacedNode,
  inside: readonly PlacedNode[] | undefined,
): RunGraphNode {
  return {
    key,
    kind: node.kind === 'step' ? 'step' : 'group',
    status,
    ...(node.kind === 'expand' && !isEnded(status) && { isUnknown: true }),
    steps: inside === undefined ? null : countStates(inside),
    startedAt: toTime(startedAtMs),
    endedAt: toTime(endedAtMs),
  };
}

/** How many of some steps show which status. */
export function countStates(states: readonly Pick<StepState, 'status'>[]): StepCounts {
  const byStatus: Partial<Record<StepStatus, number>> = {};
  for (const { status } of states) byStatus[status] = (byStatus[status] ?? 0) + 1;
  return { total: states.length, byStatus };
}

function toTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
