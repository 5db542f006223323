import { expandGraph, type Expanded } from '../dag/expand';
import { isAppError } from '../errors/app-error';
import type { BroughtSettings, GraphNode, NodeGroup, NodeSettings } from '../schemas/graph';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import type { Sql } from '../storage/postgres/client';
import { lockPipelineRun } from '../storage/postgres/pipeline-runs';
import { insertPlanFragment, sumAnswerBytes } from '../storage/postgres/plan-fragments';
import { countOtherSteps, insertSteps, type InsertStep } from '../storage/postgres/steps';
import type { PipelineRunDeps } from './pipeline-runs';
import { askForResult, toSteps, withoutItems } from './segments';

/** A node that has become others: all of them, with the rules of what stands inside. */
export interface ExpandVerdict {
  readonly verdict: 'expand';
  /** All nodes; those that its join waits for have its key as their group. */
  readonly items: readonly GraphNode[];
  /** Rules of what stands inside the items, by the key of its join. */
  readonly groups: Readonly<Record<string, NodeGroup>>;
  /** Of steps that the run did not know before: the items name these. */
  readonly settings?: BroughtSettings;
}
type Refused = { readonly verdict: 'fail'; readonly reason: string };

const STEPS_MAX = 10_000; // PLAN_LIMITS.stepsMax: of a run, however it came to them
/** Temporal takes 2 MiB at once, and a workflow may carry all that was written for its run. */
const ANSWERS_BYTES_MAX = 1536 * 1024;
/** Texts of a step stand in the row of each of its items. */
const ROWS_BYTES_MAX = 64 * 1024 * 1024;

const ROWS_TOO_LARGE =
  'its steps, each with all its texts, make more than 64 MiB: move texts into files';
const ANSWERS_TOO_LARGE =
  'its steps, with the names of those that they need, make more than 1.5 MiB together with what was written before: give them shorter names, or let them need fewer others';

export interface Expansion {
  readonly projectId: string;
  readonly run: PipelineRun;
  /** With what was written so far, and now. */
  readonly plan: Plan;
  readonly node: GraphNode;
  readonly expanded: Expanded;
  /** What was written for the node, unless that is stored already. */
  readonly written?: { readonly plan: Plan; readonly artifactId: string; readonly digest: string };
}

/**
 * Writes the rows of new steps, together with what they were read from, and says what becomes of the
 * node. Refused, with nothing written, if the run would have more than 10,000 steps or cannot hold the
 * answer. Idempotent.
 */
export async function storeExpansion(
  deps: PipelineRunDeps,
  expansion: Expansion,
): Promise<ExpandVerdict | Refused> {
  const { projectId, run, plan, node, expanded, written } = expansion;
  const steps = toSteps(plan, expanded.nodes);
  if (bytesOf(steps) > ROWS_BYTES_MAX) return refuse(ROWS_TOO_LARGE);
  const verdict = tryVerdict(expansion);
  if (verdict.verdict === 'fail') return verdict;
  const answerBytes = Buffer.byteLength(JSON.stringify(verdict));
  const runId = run.id;
  return deps.postgres.transaction(async (sql: Sql) => {
    // two expansions at once would not see each other's steps
    await lockPipelineRun(sql, { projectId, id: runId });
    const keys = steps.map(({ key }) => key);
    const count = steps.length + (await countOtherSteps(sql, { projectId, runId, keys }));
    if (count > STEPS_MAX) {
      return refuse(`the run would have ${count} steps; at most ${STEPS_MAX}: make fewer of them`);
    }
    if (written !== undefined) {
      const others = await sumAnswerBytes(sql, { projectId, runId, stepKey: node.key });
      if (others + answerBytes > ANSWERS_BYTES_MAX) return refuse(ANSWERS_TOO_LARGE);
    }
    await insertSteps(sql, { projectId, runId, steps });
    if (written !== undefined) {
      const fragment = { projectId, runId, stepKey: node.key, answerBytes, ...written };
      await insertPlanFragment(sql, fragment);
    }
    return verdict;
  });
}

function refuse(reason: string): Refused {
  return { verdict: 'fail', reason };
}

/** Refused if the steps of the plan and what was written are too many already. */
function tryVerdict(expansion: Expansion): ExpandVerdict | Refused {
  try {
    return verdictOf(expansion);
  } catch (error) {
    if (isAppError(error)) return refuse(error.message);
    throw error;
  }
}

/** The nodes by the positions under which the run knows their settings. */
export function verdictOf({
  run,
  plan,
  node,
  expanded,
}: Pick<Expansion, 'plan' | 'node' | 'expanded'> & {
  readonly run: Pick<PipelineRun, 'resumedFrom' | 'params'>;
}): ExpandVerdict {
  const { nodes, groups, settings, brought } = expanded;
  const shift = brought === undefined ? node.settings - settings : -brought.first;
  const moved = nodes.map((one) => ({ ...one, settings: one.settings + shift }));
  const verdict = { verdict: 'expand', items: withoutItems(moved), groups } as const;
  if (brought === undefined) return verdict;
  // with the deadlines of what waits for them
  const known = expandGraph(plan, run.params).settings;
  const own = known.slice(brought.first, brought.end);
  const asked = run.resumedFrom === null ? own : own.map(askForResult);
  return { ...verdict, settings: shared(asked.map((one) => ({ ...one, step: node.key }))) };
}

/** Hundreds of steps that differ in their work alone have the same settings. */
function shared(settings: readonly NodeSettings[]): BroughtSettings {
  const positions = new Map<string, number>();
  const kinds: NodeSettings[] = [];
  const of = settings.map((one) => {
    const text = JSON.stringify(one);
    const position = positions.get(text) ?? kinds.push(one) - 1;
    positions.set(text, position);
    return position;
  });
  return { kinds, of };
}

/** Of the rows as JSON. */
function bytesOf(steps: readonly InsertStep[]): number {
  const lengths = new Map<unknown, number>(); // the items of a foreach share their texts
  return steps.reduce((sum, { spec }) => {
    const texts = spec.argv ?? spec.with ?? spec;
    const length = lengths.get(texts) ?? JSON.stringify(spec).length;
    lengths.set(texts, length);
    return sum + length;
  }, 0);
}
