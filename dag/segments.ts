import type { Graph, GraphNode, Segment, SegmentTell } from '../schemas/graph';
import { append, groupBy } from './group-by';

/**
 * Steps in one workflow: a chain costs 6 events a step, so 400 stay well under the 4,096 at which
 * Temporal asks for a new history.
 */
export const SEGMENT_STEPS_MAX = 400;

/**
 * Cuts a graph into parts that one workflow each interprets. The nodes are walked depth first, so
 * that chains stay together and few edges are cut; parts depend on earlier ones only. Deterministic.
 */
export function segmentsOf(graph: Graph, stepsMax = SEGMENT_STEPS_MAX): Segment[] {
  if (graph.nodes.length <= stepsMax) return [{ ...graph, segment: 0, tells: [] }];
  const limited = keepLimits(cut(graph, stepsMax), graph.groups);
  const tells = tellsOf(limited);
  return limited.map((nodes, segment) => {
    const own = nodes.toSorted((a, b) => a.index - b.index);
    return { ...graph, nodes: own, segment, tells: tells[segment] ?? [] };
  });
}

/** Parts of so many nodes; a foreach that stops after failures is whole: one workflow counts them all. */
function cut(graph: Graph, stepsMax: number): GraphNode[][] {
  const byKey = new Map(graph.nodes.map((node) => [node.key, node]));
  const partOf = new Map<string, GraphNode[]>(); // by the foreach that must be whole
  const parts: GraphNode[][] = [];
  for (const node of depthFirst(graph.nodes)) {
    const whole = stoppingAround(node, graph.groups, byKey);
    let part = whole === undefined ? undefined : partOf.get(whole);
    part ??= parts.at(-1);
    if (part === undefined || (part.length >= stepsMax && !partOf.has(whole ?? ''))) {
      part = [];
      parts.push(part);
    }
    part.push(node);
    if (whole !== undefined) partOf.set(whole, part);
  }
  return parts;
}

/** The outermost foreach around a node that stops after so many failures. */
function stoppingAround(
  node: GraphNode,
  groups: Graph['groups'],
  byKey: ReadonlyMap<string, GraphNode>,
): string | undefined {
  let found: string | undefined;
  for (let { group } = node; group !== undefined; group = byKey.get(group)?.group) {
    if (groups[group]?.stopAfter !== undefined) found = group;
  }
  return found;
}

/** Every node behind all that it waits for, followers right behind the last of these if possible. */
function depthFirst(nodes: readonly GraphNode[]): GraphNode[] {
  const open = new Map<string, number>();
  const waiters = new Map<string, GraphNode[]>();
  const stack: GraphNode[] = [];
  for (const node of nodes.toReversed()) {
    const needs = needsOf(node);
    open.set(node.key, needs.length);
    if (needs.length === 0) stack.push(node);
    for (const need of needs) append(waiters, need, node);
  }
  const ordered: GraphNode[] = [];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    ordered.push(node);
    // the lists run from high indexes to low ones, so the lowest comes off the stack first
    for (const waiter of waiters.get(node.key) ?? []) {
      const left = (open.get(waiter.key) ?? 0) - 1;
      open.set(waiter.key, left);
      if (left === 0) stack.push(waiter);
    }
  }
  return ordered;
}

function needsOf(node: GraphNode): readonly string[] {
  return node.after === undefined ? node.needs : [...node.needs, ...node.after];
}

/**
 * A foreach with a limit that lies in several parts runs part after part: each but the last gets a
 * join that ends with its items, however they end, and the items of the next part wait for it.
 */
function keepLimits(
  parts: readonly (readonly GraphNode[])[],
  groups: Graph['groups'],
): GraphNode[][] {
  const all = groupBy(parts.flat(), ({ group }) => group);
  const before = new Map<string, string>(); // foreach → key of the join of the part before
  return parts.map((nodes, part) => {
    const changed = new Map<string, GraphNode>();
    const joins: GraphNode[] = [];
    for (const [name, own] of groupBy(nodes, ({ group }) => group)) {
      const [first] = own;
      const items = all.get(name)?.length ?? 0;
      if (name === undefined || first === undefined) continue;
      if ((groups[name]?.parallel ?? items) >= items) continue;
      const previous = before.get(name);
      const key = `${name}#${part}`;
      joins.push({ ...first, key, kind: 'join', needs: [], after: own.map((item) => item.key) });
      before.set(name, key);
      if (previous === undefined) continue;
      for (const item of own) changed.set(item.key, { ...item, after: [previous] });
    }
    return [...nodes.map((node) => changed.get(node.key) ?? node), ...joins];
  });
}

/** For each part, which others wait for which of its nodes. */
function tellsOf(parts: readonly (readonly GraphNode[])[]): SegmentTell[][] {
  const partOf = new Map<string, number>();
  for (const [i, nodes] of parts.entries()) for (const { key } of nodes) partOf.set(key, i);
  const tells = parts.map(() => new Map<string, SegmentTell>());
  for (const [segment, nodes] of parts.entries()) {
    for (const node of nodes) {
      const remote = groupBy(needsOf(node), (need) => partOf.get(need) ?? segment);
      for (const [from, keys] of remote) {
        if (from === segment) continue;
        // nodes that wait for the same ones are told once
        tells[from]?.set(`${segment} ${keys.join(' ')}`, { segment, keys });
      }
    }
  }
  return tells.map((of) => [...of.values()]);
}
