import type { GraphNode, NodeSettings } from '../schemas/graph';

/**
 * Settings with the time by which each step is due: the earliest deadline of the step itself and of all
 * that waits for it, since an urgent step is only as early as what it needs.
 */
export function withDueTimes(
  settings: readonly NodeSettings[],
  nodes: readonly GraphNode[],
): NodeSettings[] {
  if (settings.every(({ deadlineSeconds }) => deadlineSeconds === undefined)) return [...settings];
  const byKey = new Map(nodes.map((node) => [node.key, node]));
  const due = new Map<number, number>(); // by settings: all nodes of a step are due together
  const seen = new Set<string>();
  // the earliest first: whatever is reached from it has its time by then, and each node is visited once
  const work = nodes
    .flatMap((node) => {
      const seconds = settings[node.settings]?.deadlineSeconds;
      return seconds === undefined ? [] : [{ node, seconds }];
    })
    .sort((a, b) => a.seconds - b.seconds);
  for (const { node, seconds } of work) {
    const reached = [node];
    for (let next = reached.pop(); next !== undefined; next = reached.pop()) {
      if (seen.has(next.key)) continue;
      seen.add(next.key);
      due.set(next.settings, Math.min(due.get(next.settings) ?? Infinity, seconds));
      for (const need of [...next.needs, ...(next.after ?? [])]) {
        const before = byKey.get(need);
        if (before !== undefined) reached.push(before);
      }
    }
  }
  return settings.map((one, i) => {
    const dueSeconds = due.get(i);
    return dueSeconds === undefined ? one : { ...one, dueSeconds };
  });
}
