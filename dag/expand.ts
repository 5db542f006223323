import { AppError } from '../errors/app-error';
import type { Graph, GraphNode, NodeGroup } from '../schemas/graph';
import type { Params, Plan } from '../schemas/plan';
import { given } from './given';
import { withDueTimes } from './due-times';
import { emptyList, isKnownLate, itemsOf } from './items';
import type { Item } from './items';
import { isDynamic } from './names';
import { BEGIN, OUTPUTS, settingsOf, templatesOf } from './templates';
import type { Planned } from './templates';

const NODES_MAX = 10_000; // PLAN_LIMITS.stepsMax; joins do not count: they run nothing

/**
 * The graph of one run. A foreach becomes one node per item, `train[0]`, `train[1]`, …, and a join
 * `train`. A sub-pipeline becomes the nodes of its steps, `sweep[0].fit`, and a join `sweep[0]`. A
 * list that only an earlier step gives is left as one node until it is known.
 */
export function expandGraph(plan: Plan, params: Params): Graph {
  const templates = templatesOf(plan);
  const expansion = new Expansion({ params });
  expansion.level(templates.steps, { prefix: '', entry: [], item: undefined, group: undefined });
  const { nodes, groups } = expansion;
  const settings = withDueTimes(templates.list.map(settingsOf), nodes);
  return { nodes, settings, groups, order: 2 };
}

/** The nodes that take the place of one that was not known before, and the rules of those inside them. */
export interface Expanded {
  /** Those that the one waits for as a join have its key as their group. */
  readonly nodes: readonly GraphNode[];
  readonly groups: Readonly<Record<string, NodeGroup>>;
  /** The settings of the one among those of this plan: the run knows them by other positions. */
  readonly settings: number;
  /** Where the settings of all that stands inside begin and end, if the plan came with it. */
  readonly brought?: { readonly first: number; readonly end: number };
}

/**
 * The items of a foreach, or the steps of what a dynamic step has become. `scope` holds what the list
 * is made of; `item` the variables around the foreach.
 */
export function expandItems(
  plan: Plan,
  before: GraphNode,
  { scope, item }: { readonly scope: Item; readonly item: Item | undefined },
): Expanded {
  const planned = findPlanned(templatesOf(plan).steps, before.key);
  if (planned === undefined) throw new AppError('NOT_FOUND', `No step of node '${before.key}'.`);
  const expansion = new Expansion(scope, before.index);
  // what the items need has ended when their list is known
  const at = { key: before.key, entry: [], item, group: undefined };
  const { nodes, groups } = expansion;
  const { settings } = planned;
  if (!isDynamic(planned.step)) {
    expansion.items(planned, at);
    return { nodes, groups, settings };
  }
  expansion.inside(planned, at);
  const positions = positionsInside(planned);
  const brought = { first: Math.min(...positions), end: Math.max(...positions) + 1 };
  return { nodes, groups, settings, brought };
}

/** The settings of all that stands inside a sub-pipeline, at any depth. */
function positionsInside({ inner = [], outputs }: Planned): number[] {
  const own = inner.flatMap((step) => [step.settings, ...positionsInside(step)]);
  return outputs === undefined ? own : [...own, outputs.settings];
}

/** The step of a node: `sweep[0].fit` is the step `fit` of `sweep`. */
function findPlanned(steps: readonly Planned[], key: string): Planned | undefined {
  const [first, ...rest] = key.replaceAll(/\[\d+\]/g, '').split('.');
  const find = (among: readonly Planned[] | undefined, name = ''): Planned | undefined =>
    among?.find(({ step }) => step.name === name);
  return rest.reduce((planned, name) => find(planned?.inner, name), find(steps, first));
}

/** Where the steps of the plan itself, or of one run of a sub-pipeline, go. */
interface Instance {
  readonly prefix: string; // 'sweep[0].'
  /** What a step that needs none of those beside it waits for. */
  readonly entry: readonly string[];
  readonly item: Item | undefined;
  readonly group: string | undefined;
}
/** One step in an instance: its key, and the keys that it waits for. */
type Placed = Pick<Instance, 'entry' | 'item' | 'group'> & {
  readonly key: string;
  /** Must have ended, however: keeps the number of items at once. */
  readonly after?: readonly string[];
};

/** Collects nodes; refuses more than a run may have as soon as they are too many. */
class Expansion {
  readonly nodes: GraphNode[] = [];
  readonly groups: Record<string, NodeGroup> = {};
  private readonly scope: Item;
  /** Of all nodes, if they take the place of one. */
  private readonly index: number | undefined;
  private rows = 0;

  constructor(scope: Item, index?: number) {
    this.scope = scope;
    this.index = index;
  }

  /** Gives the keys by which each step's end is known. */
  level(steps: readonly Planned[], instance: Instance): string[] {
    const names = new Set(steps.map(({ step }) => step.name));
    const { prefix, entry, item, group } = instance;
    return steps.map((planned) => {
      const { step } = planned;
      const beside = step.needs.filter((need) => names.has(need)).map((need) => prefix + need);
      // those around have ended when a sub-pipeline begins
      const needs = beside.length > 0 ? beside : entry;
      this.step(planned, { key: prefix + step.name, entry: needs, item, group });
      return prefix + step.name;
    });
  }

  private step(planned: Planned, at: Placed): void {
    const { step, settings } = planned;
    const { key, entry, item, group } = at;
    const isUnknown = isDynamic(step) && step.fragment === undefined;
    if (isUnknown)
      this.add({ key, kind: 'expand', needs: entry, settings, ...given({ item, group }) });
    else if (step.foreach === undefined) this.once(planned, at);
    else if (isKnownLate(step)) {
      this.groups[key] = rulesOf(planned);
      this.add({ key, kind: 'expand', needs: entry, settings, ...given({ item, group }) });
    } else {
      const keys = this.items(planned, at);
      if (keys.length === 0) throw emptyList(step);
      this.add({ key, kind: 'join', needs: keys, settings, ...given({ group }) });
    }
  }

  /** Adds the items of a foreach; gives their keys. */
  items(planned: Planned, at: Placed): string[] {
    const { step } = planned;
    const items = itemsOf(step, { ...this.scope, item: at.item ?? {} });
    this.groups[at.key] = rulesOf(planned);
    const keys = items.map((_, i) => `${at.key}[${i}]`);
    // the items of a sub-pipeline take turns: each waits for the one that many places before it
    const lanes = planned.inner === undefined ? undefined : step.parallel;
    for (const [i, own] of items.entries()) {
      const before = lanes === undefined ? undefined : keys[i - lanes];
      const item = { ...at.item, ...own };
      const after = before === undefined ? {} : { after: [before] };
      this.once(planned, { ...at, key: keys[i] ?? '', item, group: at.key, ...after });
    }
    return keys;
  }

  private once(planned: Planned, at: Placed): void {
    if (planned.inner !== undefined) {
      this.composite(planned, at);
      return;
    }
    const { key, entry, item, group } = at;
    const { settings } = planned;
    this.add({ key, kind: 'step', needs: entry, settings, ...given({ item, group }) });
  }

  /** One run of a sub-pipeline: it begins as one, and its join ends with all that is in it. */
  private composite(planned: Planned, at: Placed): void {
    const { step, settings } = planned;
    const { key, item, after, group } = at;
    const own = { settings, ...given({ item }), group: key };
    // the condition of a dynamic step was worked out with its pipeline
    const isPlain = (step.if === undefined || isDynamic(step)) && after === undefined;
    const begin = isPlain ? [] : [key + BEGIN];
    for (const first of begin) {
      this.add({ key: first, kind: 'step', needs: at.entry, ...given({ after }), ...own });
    }
    const entry = begin.length > 0 ? begin : at.entry;
    const ends = this.inside(planned, { ...at, entry });
    this.add({ key, kind: 'join', needs: [...begin, ...ends], settings, ...given({ group }) });
  }

  /** The steps of a sub-pipeline and the node of its outputs; gives the keys of what its join needs. */
  inside({ inner = [], outputs }: Planned, { key, entry, item }: Placed): string[] {
    const ends = this.level(inner, { prefix: `${key}.`, entry, item, group: key });
    if (outputs !== undefined) {
      const beside = outputs.needs.map((need) => `${key}.${need}`);
      // what it reads may be there although another step fails: then the whole has no outputs
      const needs = beside.length > 0 ? ends : [...entry, ...ends];
      const skippedWith = beside.length > 0 ? beside : entry;
      const last = { settings: outputs.settings, ...given({ item }), group: key, skippedWith };
      this.add({ key: key + OUTPUTS, kind: 'step', needs: [...needs], ...last });
      ends.push(key + OUTPUTS);
    }
    return ends;
  }

  private add(node: Omit<GraphNode, 'index'>): void {
    if (node.kind !== 'join') this.rows += 1;
    if (this.rows > NODES_MAX) {
      const message = `The run has more than ${NODES_MAX} steps, with every item of each foreach.`;
      throw new AppError('INVALID_ARGUMENT', message);
    }
    this.nodes.push({ ...node, index: this.index ?? this.nodes.length });
  }
}

function rulesOf({ step, inner }: Planned): NodeGroup {
  const { parallel = NODES_MAX, minSuccess = 1, stopAfter } = step;
  const rules = { minSuccess, ...(stopAfter !== undefined && { stopAfter }) };
  return { parallel: inner === undefined ? parallel : NODES_MAX, ...rules };
}
