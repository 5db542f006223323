import { ApplicationFailure } from '@temporalio/common';
import {
  CancellationScope,
  condition,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import { evaluate, parseExpression } from '../dag/expressions';
import { ReadyQueue } from '../dag/ready-queue';
import { scopeFor } from '../dag/scope';
import type { GraphNode, Outputs } from '../schemas/plan';
import type { BegunRun, RunPipelineInput, RunPipelineResult } from './contract';
import { beginRun, finishRun } from './proxies';
import { runStep, type StepContext, type StepEnd } from './run-step';
import { TransitionLog } from './transition-log';

const ID_PREFIX = 'pipeline-run/';
/** After SIGKILL at the end of the grace a worker reports within seconds; then nobody waits on. */
const STOP_MARGIN_SECONDS = 60;
/** A result is read by callers, not a store: larger outputs are read from the api. */
const RESULT_CHARS_MAX = 512 * 1024;

interface RunState extends StepContext {
  readonly begun: BegunRun;
  readonly queue: ReadyQueue;
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly outputs: Record<string, Outputs>;
  readonly reasons: Map<string, string>; // of steps that failed
  readonly steps: CancellationScope; // every attempt runs in it
  readonly running: Set<string>;
  readonly ended: StepEnd[]; // not settled yet
  isCancelled: boolean;
}

/**
 * One run of a pipeline: interprets its graph, each step an activity on the queue of its pool.
 * Decisions only: Postgres holds what happened, the history holds references.
 */
export async function runPipeline(input: RunPipelineInput): Promise<RunPipelineResult> {
  const { workflowId } = workflowInfo();
  const runId = workflowId.startsWith(ID_PREFIX) ? workflowId.slice(ID_PREFIX.length) : workflowId;
  const projectId = input.projectId ?? 'default';
  const cancelRequested = CancellationScope.current().cancelRequested;
  // a cancelled run still writes its end, so only the steps are in a scope that can be cancelled
  return CancellationScope.nonCancellable(async () => {
    const begun = await begin(input, { projectId, runId });
    const state = createState(begun, projectId);
    cancelRequested.catch(() => {
      state.isCancelled = true;
      state.steps.cancel();
    });
    await runSteps(state);
    return finish(state);
  });
}

/** A run that cannot begin fails its workflow with the reason; its row, if any, says the same. */
async function begin(
  input: RunPipelineInput,
  run: { readonly projectId: string; readonly runId: string },
): Promise<BegunRun> {
  try {
    return await beginRun({ ...input, ...run });
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    // an id of the caller's own making may be that of somebody else's run
    if (workflowInfo().workflowId.startsWith(ID_PREFIX) && !isTaken(cause)) {
      await finishRun({ ...run, status: 'failed', reason });
    }
    throw cause;
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.type === 'ALREADY_EXISTS';
}

function createState(begun: BegunRun, projectId: string): RunState {
  const { runId, graph } = begun;
  return {
    begun,
    projectId,
    runId,
    log: new TransitionLog({ projectId, runId }),
    queue: new ReadyQueue(graph),
    nodes: new Map(graph.nodes.map((node) => [node.key, node])),
    outputs: {},
    reasons: new Map(),
    steps: new CancellationScope(),
    running: new Set(),
    ended: [],
    isCancelled: false,
  };
}

/** The main loop: start what is ready, write what happened, wait for something to end. */
async function runSteps(state: RunState): Promise<void> {
  while (!state.isCancelled) {
    startReady(state);
    state.log.flush();
    showProgress(state);
    if (state.queue.done) break;
    await condition(() => state.ended.length > 0 || state.log.canFlush || state.isCancelled);
    for (const ended of state.ended.splice(0)) settle(state, ended);
  }
  if (state.isCancelled) await stopSteps(state);
  await state.log.drain();
}

function startReady(state: RunState): void {
  // a step that is skipped at once may make others ready
  for (let taken = state.queue.take(); taken.length > 0; taken = state.queue.take()) {
    for (const node of taken) startOrSkip(state, node);
  }
}

function startOrSkip(state: RunState, node: GraphNode): void {
  const verdict = isWanted(state, node);
  if (verdict === true) {
    state.running.add(node.key);
    void state.steps
      .run(() => runStep(state, node))
      .catch((error: unknown): StepEnd => {
        if (state.isCancelled) return { key: node.key, end: 'cancelled' };
        const reason = error instanceof Error ? error.message : String(error);
        return { key: node.key, end: 'failed', reason };
      })
      .then((end) => state.ended.push(end));
    return;
  }
  const end = verdict === false ? 'skipped' : 'failed';
  const reason = verdict === false ? `its condition is false: ${node.if ?? ''}` : verdict;
  state.log.add({ stepKey: node.key, attempt: 0, state: end, reason });
  if (end === 'failed') state.reasons.set(node.key, reason);
  skipFollowers(state, node.key, end);
}

/** Whether a step's `if` holds; a text says why that cannot be told. */
function isWanted(state: RunState, node: GraphNode): boolean | string {
  if (node.if === undefined) return true;
  try {
    const scope = scopeFor(state.begun.graph, node, state.outputs);
    const value = evaluate(parseExpression(node.if), scope);
    if (typeof value === 'boolean') return value;
    return `its condition gave ${JSON.stringify(value)}, which is neither true nor false`;
  } catch (error) {
    return `its condition cannot be worked out: ${error instanceof Error ? error.message : ''}`;
  }
}

function settle(state: RunState, ended: StepEnd): void {
  state.running.delete(ended.key);
  if (ended.end === 'succeeded') state.outputs[ended.key] = ended.outputs;
  if (ended.end === 'failed') state.reasons.set(ended.key, ended.reason);
  skipFollowers(state, ended.key, ended.end);
}

function skipFollowers(state: RunState, key: string, end: StepEnd['end'] | 'skipped'): void {
  for (const skipped of state.queue.settle(key, end)) {
    // what waits for a cancelled step is cancelled with it: see stopSteps
    if (end === 'cancelled') continue;
    const { key: stepKey, reason } = skipped;
    state.log.add({ stepKey, attempt: 0, state: 'skipped', reason });
  }
}

/** Waits until every attempt has stopped, at most the longest grace and a margin. */
async function stopSteps(state: RunState): Promise<void> {
  const graces = [...state.running].map((key) => state.nodes.get(key)?.graceSeconds ?? 0);
  const seconds = Math.max(0, ...graces) + STOP_MARGIN_SECONDS;
  const known = new Set(state.queue.unfinished);
  await condition(() => state.ended.length >= state.running.size, seconds * 1000);
  for (const ended of state.ended.splice(0)) {
    known.delete(ended.key);
    settle(state, ended);
  }
  for (const key of known) {
    const reason = state.running.has(key)
      ? 'the run was cancelled; the step did not stop in time'
      : 'the run was cancelled';
    state.log.add({ stepKey: key, attempt: 0, state: 'cancelled', reason });
    state.queue.settle(key, 'cancelled');
  }
}

async function finish(state: RunState): Promise<RunPipelineResult> {
  const { projectId, runId, queue, begun } = state;
  const cancelled = begun.graph.nodes.some((node) => queue.endOf(node.key) === 'cancelled');
  const status = cancelled ? 'cancelled' : queue.failed.length > 0 ? 'failed' : 'succeeded';
  const [failed] = queue.failed;
  const reason =
    status === 'failed' ? `${failed ?? ''}: ${state.reasons.get(failed ?? '') ?? ''}` : undefined;
  await finishRun({ projectId, runId, status, ...(reason === undefined ? {} : { reason }) });
  showProgress(state, status);
  const isSmall = JSON.stringify(state.outputs).length <= RESULT_CHARS_MAX;
  return { runId, status, outputs: isSmall ? state.outputs : {} };
}

/** For Temporal's own web UI; costs no event. */
function showProgress(state: RunState, status = 'running'): void {
  const { begun, queue } = state;
  const total = begun.graph.nodes.length;
  const done = total - queue.unfinished.length;
  const now = [...state.running].slice(0, 10).join(', ');
  const failed =
    queue.failed.length === 0 ? '' : ` Failed: ${queue.failed.slice(0, 10).join(', ')}.`;
  setCurrentDetails(
    `**${begun.pipeline}** ${status}: ${done} of ${total} steps ended.` +
      `${now === '' ? '' : ` Under way: ${now}.`}${failed}`,
  );
}
