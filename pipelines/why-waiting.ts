import { isEnded, needsOf, type PlacedGraph, type PlacedNode } from '../dag/placed-graph';
import type { NodeSettings } from '../schemas/graph';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { ListedStep } from '../storage/postgres/step-list';
import type { PoolPresence } from './pools';
import { SAME_WORK } from './reuse';

/** What is known of a run when somebody asks why its steps wait. */
export interface WaitFacts {
  readonly run: PipelineRun;
  readonly placed: PlacedGraph;
  /** The items of a foreach or sub-pipeline, counted once for all that ask. */
  readonly itemsOf: (group: string) => OpenItems;
  /** Who has paused it, and why. */
  readonly paused:
    { readonly actor: string; readonly reason: string; readonly at: Date } | undefined;
  readonly presence: ReadonlyMap<string, PoolPresence>;
  /** True if nobody takes up workflows. */
  readonly isControlGone: boolean;
  readonly nowMs: number;
}

interface OpenItems {
  readonly total: number;
  readonly ended: number;
  readonly begun: number; // and not ended
  /** Those that have not begun, in order → how many such are before each. */
  readonly waiting: ReadonlyMap<string, number>;
}

/** Counts the items of each group when they are first asked for. */
export function createItemsOf(placed: PlacedGraph): WaitFacts['itemsOf'] {
  const known = new Map<string, OpenItems>();
  return (group) => {
    const before = known.get(group);
    if (before !== undefined) return before;
    const items = placed.nodes.get(group)?.node.needs ?? [];
    const open = openOf(items, placed);
    const waiting = open.filter(({ status }) => status === 'waiting');
    const counted = {
      total: items.length,
      ended: items.length - open.length,
      begun: open.length - waiting.length,
      waiting: new Map(waiting.map(({ key }, i) => [key, i])),
    };
    known.set(group, counted);
    return counted;
  };
}

/** Of what a step waits for: as many fit into a line. */
const NEEDS_SHOWN_MAX = 3;
/** A worker with nothing to do asks again within a minute. */
const SEEN_WITHIN_MS = 75_000;
/** So long without output, progress or checkpoint is worth a word. */
const SILENT_MS = 5 * 60_000;

/** Why a step stands where it stands; null if its status says it all. A step that is late says so. */
export function whyWaiting(listed: ListedStep, facts: WaitFacts): string | null {
  if (facts.run.endedAt !== null) return listed.step.reason;
  return join(whyOpen(listed, facts), lateness(listed, facts));
}

function whyOpen(listed: ListedStep, facts: WaitFacts): string | null {
  const { step } = listed;
  const { reason } = step;
  if (step.status === 'running') return join(reason, silence(listed, facts));
  if (step.status === 'retrying') return retrying(listed, facts);
  if (reason?.startsWith(SAME_WORK) === true) {
    return facts.run.isPaused ? join(reason, describePause(facts.paused)) : reason;
  }
  if (step.status === 'waiting') return join(reason, waiting(step.key, facts));
  return reason;
}

function join(...parts: readonly (string | null)[]): string | null {
  const known = parts.filter((part) => part !== null && part !== '');
  return known.length === 0 ? null : known.join('; ');
}

/** Its worker sends heartbeats, or it would not be running any more. */
function silence({ step, attempt }: ListedStep, { nowMs }: WaitFacts): string | null {
  const { stalledSince } = step.progress ?? {};
  if (stalledSince !== undefined) {
    return `alive but stalled since ${stalledSince}: no log line, metric or status`;
  }
  if (attempt?.heardAtMs === undefined) return null;
  const silentMs = nowMs - attempt.heardAtMs;
  if (silentMs < SILENT_MS) return null;
  return `alive, but no output, progress or checkpoint for ${describeMs(silentMs)}`;
}

/** By how much a step that has not ended is late; a deadline ends nothing. */
function lateness({ step }: ListedStep, { placed, run, nowMs }: WaitFacts): string | null {
  const settings = placed.nodes.get(step.key)?.node.settings;
  const { deadlineSeconds } = placed.settings[settings ?? -1] ?? {};
  if (deadlineSeconds === undefined || step.endedAt !== null) return null;
  const dueMs = Date.parse(run.startedAt ?? run.createdAt) + deadlineSeconds * 1000;
  if (dueMs >= nowMs) return null;
  return `late by ${describeMs(nowMs - dueMs)}: it was due at ${new Date(dueMs).toISOString()}`;
}

/** The row says after what and in how long; this says how much of it is left. */
function retrying({ step, attempt }: ListedStep, facts: WaitFacts): string | null {
  const delay = /^(.*); attempt (\d+) in ([\d.]+) s$/s.exec(step.reason ?? '');
  const endedAtMs = attempt?.endedAtMs;
  const [, cause = '', next = '', seconds = '0'] = delay ?? [];
  if (endedAtMs === undefined) return step.reason;
  const dueMs = endedAtMs + Number(seconds) * 1000;
  if (dueMs > facts.nowMs) {
    return `attempt ${next} in ${Math.ceil((dueMs - facts.nowMs) / 1000)} s, after ${cause}`;
  }
  if (facts.run.isPaused) return join(step.reason, describePause(facts.paused));
  return join(step.reason, forWorker(step.key, facts, dueMs));
}

function waiting(key: string, facts: WaitFacts): string | null {
  const { placed, paused, run } = facts;
  const at = placed.nodes.get(key);
  const settings = at === undefined ? undefined : placed.settings[at.node.settings];
  if (at === undefined || settings === undefined) return null;
  const needs = openOf(at.node.needs, placed);
  if (needs.length > 0) return forNeeds(needs, { at, settings, facts });
  if (run.isPaused) return describePause(paused);
  const after = openOf(at.node.after ?? [], placed);
  if (after.length > 0) return `waiting for its turn: ${after[0]?.key ?? ''} has not ended`;
  const limit = atLimit(at, facts);
  if (limit !== undefined) return limit;
  const sinceMs = readySince(at, placed, run);
  if (settings.conditional || at.node.kind === 'expand' || settings.builtin) {
    if (facts.isControlGone) return 'waiting for a control worker; none has been seen of late';
  }
  if (at.node.kind === 'expand') {
    return isDynamic(at, placed) ? 'its pipeline is being read' : 'its list is being worked out';
  }
  if (settings.builtin) return 'waiting for the control worker';
  return forWorker(key, facts, sinceMs);
}

/** Of what becomes others a foreach alone has rules for its items from the beginning. */
function isDynamic({ key }: PlacedNode, { groups }: PlacedGraph): boolean {
  return groups[key] === undefined;
}

function openOf(keys: readonly string[], { nodes }: PlacedGraph): PlacedNode[] {
  const nodesOf = keys.flatMap((key) => nodes.get(key) ?? []);
  return nodesOf.filter(({ status }) => !isEnded(status));
}

function forNeeds(
  open: readonly PlacedNode[],
  of: {
    readonly at: PlacedNode;
    readonly settings: NodeSettings;
    readonly facts: WaitFacts;
  },
): string {
  const shown = open.slice(0, NEEDS_SHOWN_MAX).map((need) => describeNeed(need, of.facts));
  const more = open.length - shown.length;
  const all = `waiting for ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''} to end`;
  if (of.at.node.kind === 'expand') {
    return `${all}; then its ${isDynamic(of.at, of.facts.placed) ? 'pipeline' : 'list'} is known`;
  }
  return of.settings.conditional ? `${all}; then it is decided whether it runs` : all;
}

/** A foreach tells how far it is. */
function describeNeed({ key, node }: PlacedNode, { itemsOf }: WaitFacts): string {
  if (node.kind !== 'join') return key;
  const { ended, total } = itemsOf(key);
  return `${key} (${ended} of ${total} ended)`;
}

function describePause(paused: WaitFacts['paused']): string {
  if (paused === undefined) return 'the run is paused';
  const { actor, reason, at } = paused;
  const why = reason === '' ? '' : `: ${reason}`;
  return `the run is paused by ${actor} since ${at.toISOString()}${why}`;
}

/** The items of a foreach begin in order; those beyond its limit wait for one of the others. */
function atLimit(
  { key, node }: PlacedNode,
  { placed, itemsOf }: Pick<WaitFacts, 'placed' | 'itemsOf'>,
): string | undefined {
  const { group } = node;
  const parallel = group === undefined ? undefined : placed.groups[group]?.parallel;
  if (group === undefined || parallel === undefined) return undefined;
  const { begun, waiting } = itemsOf(group);
  if ((waiting.get(key) ?? 0) < parallel - begun) return undefined;
  return `${group} runs at most ${parallel} at once: ${begun} of ${parallel} run`;
}

function readySince({ node }: PlacedNode, placed: PlacedGraph, run: PipelineRun): number {
  const ends = needsOf(node).flatMap((key) => placed.nodes.get(key)?.endedAtMs ?? []);
  return Math.max(Date.parse(run.startedAt ?? run.createdAt), ...ends);
}

function forWorker(key: string, { placed, presence, nowMs }: WaitFacts, sinceMs: number): string {
  const settings = placed.nodes.get(key)?.node.settings ?? 0;
  const { pool = '' } = placed.settings[settings] ?? {};
  const since = new Date(sinceMs).toISOString();
  const text = `waiting for a worker of pool ${pool} since ${since}`;
  const known = presence.get(pool);
  if (known === undefined) return text;
  const { lastSeenAt, runningSteps } = known;
  const unseenMs = lastSeenAt === null ? undefined : nowMs - Date.parse(lastSeenAt);
  if (unseenMs !== undefined && unseenMs < SEEN_WITHIN_MS) return text;
  // a worker whose places are all taken does not ask for more
  if (runningSteps > 0) return `${text}; its workers are busy with ${runningSteps} steps`;
  const length = unseenMs === undefined ? 'at least 5 min' : describeMs(unseenMs);
  return `${text}; no worker of this pool has been seen for ${length}`;
}

function describeMs(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}
