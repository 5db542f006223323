import { ApplicationFailure } from '@temporalio/common';
import { expandGraph } from '../../dag/expand';
import { findDynamic } from '../../dag/fragments';
import { handlerGraph, handlerSteps, hasHandlers } from '../../dag/handlers';
import { resolveParams } from '../../dag/params';
import { resolveInputs, scopeFor, type ArtifactRef } from '../../dag/scope';
import { segmentsOf, SEGMENT_STEPS_MAX } from '../../dag/segments';
import { DYNAMIC } from '../../dag/templates';
import { expandNode, judge, type StepVerdict } from '../../pipelines/decisions';
import { verdictOf } from '../../pipelines/expansions';
import { placeFragment } from '../../pipelines/fragments';
import { askForResults, toSteps, withoutItems } from '../../pipelines/segments';
import type { RecordControl } from '../../pipelines/run-controls';
import type { ExecuteStepInput } from '../../schemas/attempts';
import type { GraphNode, RunOutcome, Segment } from '../../schemas/graph';
import type { Params, Plan, StepSpec } from '../../schemas/plan';
import type { RecordTransitions } from '../../storage/postgres/transitions';
import {
  CONTROL_RUN_UPDATE,
  pipelineRunWorkflowId,
  type ControlRun,
} from '../../workflows/contract';
import { isHeld } from '../../workflows/retry';
import { compileOnce } from './compile-once';
import { dice, type Dice } from './dice';
import { SmallTemporal } from './small-temporal';
import type { ActivityCall, ActivityEnd, ActivityTask } from './temporal-workers';
import type { Attempt, Begin, Behaviour, Row, WorldOptions } from './world-options';

type Scope = Readonly<Record<string, unknown>>;
/** The pipeline that a dynamic step is to run; undefined if the step that should have written it was skipped. */
function artifactIn(spec: StepSpec, scope: Scope): string | undefined {
  try {
    return (resolveInputs(spec, scope)['pipeline'] as ArtifactRef).artifact;
  } catch {
    return undefined;
  }
}
const ENDED = ['succeeded', 'failed', 'skipped', 'cancelled'];
const RUN_ID = 'r1';
const LAST_MS_MAX = 8; // few different times, so that many things happen at once
const STOP_MS = 500;
const HELD = { message: 'the run is paused', type: 'RUN_PAUSED', nonRetryable: true };

/**
 * One run of a plan: our workflows on a small Temporal, and the activities with rows in memory where
 * the real ones have Postgres. What decides (graphs, conditions, lists) is the code of the product.
 */
export class PipelineWorld {
  readonly temporal: SmallTemporal;
  readonly rows = new Map<string, Row>();
  readonly attempts: Attempt[] = [];
  /** The keys of what was asked for, in order: steps that begin, with the number of the task. */
  readonly begins: Begin[] = [];
  status: RunOutcome | undefined;
  reason: string | undefined;
  private readonly options: WorldOptions;
  private isHeld = false;
  private readonly params: Params;
  private plan: Plan; // with what steps have written so far
  private readonly roll: Dice;

  constructor(options: WorldOptions) {
    this.options = options;
    this.params = resolveParams(options.plan, options.params ?? {});
    this.plan = options.plan;
    this.roll = dice(options.seed ?? 1);
    const { eventFactor = 1 } = options;
    const workers = {
      begin: (call: ActivityCall) => this.activity(call),
      cancel: (call: ActivityCall) => this.cancelled(call),
      ended: (call: ActivityCall, end: ActivityEnd) => {
        this.note(call, end);
      },
      eventsOf: (real: number) => real * eventFactor,
    };
    this.temporal = new SmallTemporal(workers, this.roll);
    this.temporal.start('runPipeline', pipelineRunWorkflowId(RUN_ID), [{ planId: 'p' }]);
  }

  /** Runs to the end. */
  async run(): Promise<this> {
    await this.temporal.run();
    if (this.status === undefined) throw new Error('the run has not ended');
    return this;
  }

  cancel(afterMs: number): void {
    this.temporal.cancel(pipelineRunWorkflowId(RUN_ID), afterMs);
  }

  control(
    control: { action: 'pause' | 'continue' } | { action: 'skip' | 'retry'; stepKey: string },
    afterMs: number,
  ): void {
    const input: ControlRun = { ...control, actor: 'ada', reason: '' };
    this.temporal.update(
      pipelineRunWorkflowId(RUN_ID),
      { name: CONTROL_RUN_UPDATE, input },
      afterMs,
    );
  }

  /** What every step shows at the end. */
  get statuses(): Record<string, string> {
    return Object.fromEntries([...this.rows].map(([key, { status }]) => [key, status]));
  }

  private activity(call: ActivityCall): ActivityTask {
    const afterMs = this.roll(3);
    const { name, input } = call;
    if (name === 'executeStep' || name === 'executeBuiltin') return this.work(call);
    if (name === 'recordControl') return { afterMs, taken: () => this.steer(input) };
    if (name === 'beginRun') return { afterMs, result: this.beginRun() };
    if (name === 'loadSegment') {
      return { afterMs, result: this.segments[(input as { segment: number }).segment] };
    }
    if (name === 'recordTransitions') {
      this.record(input as RecordTransitions);
      return { afterMs, result: undefined };
    }
    if (name === 'decideStep') {
      const { node } = input as { node: GraphNode };
      this.begin(node.key, { atMs: call.atMs, isDecision: true });
      return { afterMs, result: this.decide(node) };
    }
    if (name === 'beginHandlers') {
      return { afterMs, result: this.beginHandlers(input as { status: RunOutcome }) };
    }
    const { status, reason } = input as { status: RunOutcome; reason?: string };
    [this.status, this.reason] = [status, reason];
    for (const row of this.rows.values()) {
      const isOpen = status === 'cancelled' && !ENDED.includes(row.status);
      if (isOpen) row.status = 'cancelled'; // a list that came with the cancel has made rows
    }
    return { afterMs, result: { outputs: {} } };
  }

  private beginRun(): object {
    const { plan } = this.options;
    this.insert(toSteps(plan, expandGraph(plan, this.params).nodes));
    const { segments } = this;
    const begun = { runId: RUN_ID, pipeline: plan.name, segments: segments.length };
    const segment = segments.length > 1 ? null : segments[0];
    return { ...begun, hasHandlers: hasHandlers(plan), segment };
  }

  /** The parts of the run. */
  get segments(): Segment[] {
    const { plan, segmentSteps = SEGMENT_STEPS_MAX, reused } = this.options;
    const graph = askForResults(expandGraph(plan, this.params), reused !== undefined);
    const parts = segmentsOf(graph, segmentSteps);
    return parts.map((part) => ({ ...part, nodes: withoutItems(part.nodes) }));
  }

  private beginHandlers({ status }: { readonly status: RunOutcome }): Segment {
    const { plan } = this.options;
    const first = this.rows.size;
    const steps = handlerSteps(plan, status);
    this.insert(
      steps.map((spec, i) => ({ key: spec.name, index: first + i, spec, item: undefined })),
    );
    return { ...handlerGraph(plan, status), segment: 0, tells: [] };
  }

  private insert(steps: ReturnType<typeof toSteps>): void {
    for (const { key, spec, item, index } of steps) {
      if (this.rows.has(key)) continue;
      this.rows.set(key, { spec, item, index, status: 'waiting', outputs: null });
    }
  }

  private decide(node: GraphNode): StepVerdict {
    const row = this.rowOf(node.key);
    const earlier = [...this.rows.values()]
      .filter(({ spec }) => row.spec.needs.includes(spec.name))
      .sort((a, b) => a.index - b.index)
      .map(({ spec: { name, foreach }, item, outputs }) => {
        return { step: name, isForeach: foreach !== undefined, item, outputs };
      });
    const scope = scopeFor(this.params, row.item, earlier);
    if (node.kind !== 'expand') return this.judge(node.key, scope);
    if (row.spec.uses === DYNAMIC) {
      const verdict = judge(row, scope);
      const problem = verdict.verdict === 'run' ? this.place(node, row.spec, scope) : undefined;
      if (problem !== undefined) return { verdict: 'fail', reason: problem };
      if (verdict.verdict !== 'run') return verdict;
    }
    const { plan } = this;
    const expanded = expandNode({ plan, node, item: row.item }, scope);
    if ('verdict' in expanded) return expanded;
    this.insert(toSteps(plan, expanded.nodes));
    const resumedFrom = this.options.reused === undefined ? null : 'r0';
    const run = { params: this.params, resumedFrom };
    return verdictOf({ run, plan, node, expanded });
  }

  /** Puts what was written for a step into the plan; the id of an artifact is the key of its step. */
  private place(node: GraphNode, spec: StepSpec, scope: Scope): string | undefined {
    const { plan } = this;
    if (findDynamic(plan, node.key)?.fragment !== undefined) return undefined; // asked again
    const artifactId = artifactIn(spec, scope);
    if (artifactId === undefined) return 'its pipeline is not there';
    const written = compileOnce(this.behaviourOf(artifactId).writes ?? '');
    const placed = placeFragment({ plan, node, scope }, { plan: written, artifactId, digest: '' });
    if ('problem' in placed) return placed.problem;
    this.plan = placed.plan;
    return undefined;
  }

  private judge(key: string, scope: Scope): StepVerdict {
    const row = this.rowOf(key);
    const verdict = judge(row, scope);
    if (verdict.verdict !== 'run' || this.options.reused?.has(key) !== true) return verdict;
    row.status = 'succeeded';
    row.outputs = this.behaviourOf(key).outputs ?? {};
    return { verdict: 'reuse', reason: 'there already' };
  }

  private begin(key: string, { atMs, isDecision }: Pick<Begin, 'atMs' | 'isDecision'>): void {
    this.begins.push({ key, atMs, task: this.temporal.tasks, isDecision });
  }

  /** What the run's workflow has written holds attempts that are still in a queue. */
  private steer(input: unknown): ActivityEnd {
    const { control } = input as RecordControl;
    if (control.action === 'pause') this.isHeld = true;
    if (control.action === 'continue') this.isHeld = false;
    return { afterMs: 0, result: undefined };
  }

  private behaviourOf(key: string): Behaviour {
    const behaviour = this.options.behave?.(key) ?? {};
    if (behaviour.writes === undefined) return behaviour;
    const plan = { artifact: key, kind: 'pipeline' };
    return { ...behaviour, outputs: { ...behaviour.outputs, plan } };
  }

  /** An attempt; its row shows the success when the work ends, before the workflow hears of it. */
  private work(call: ActivityCall): ActivityTask {
    const { queueMs } = this.options;
    if (queueMs === undefined) return this.takeUp(call);
    return { afterMs: this.roll(queueMs), taken: () => this.takeUp(call) };
  }

  private takeUp({ name, input }: ActivityCall): ActivityEnd {
    const { stepKey: key, attempt } = input as ExecuteStepInput;
    if (this.isHeld) return { afterMs: 0, failure: ApplicationFailure.create(HELD) };
    if (attempt === 1) this.begin(key, { atMs: this.temporal.nowMs, isDecision: false });
    const { failures = [] } = this.behaviourOf(key);
    const failure = name === 'executeBuiltin' ? undefined : failures[attempt - 1];
    const afterMs = 1 + this.roll(LAST_MS_MAX);
    if (failure === undefined) return { afterMs, result: undefined };
    const thrown = { message: 'as told', type: failure, nonRetryable: true };
    return { afterMs, failure: ApplicationFailure.create(thrown) };
  }

  /** What runs is told to stop, and does; the books are kept all the same. */
  private cancelled({ name }: ActivityCall): ActivityEnd | undefined {
    const isWork = name === 'executeStep' || name === 'executeBuiltin';
    return isWork ? { afterMs: this.roll(STOP_MS), isCancelled: true } : undefined;
  }

  private note({ name, input, atMs }: ActivityCall, end: ActivityEnd): void {
    if (name !== 'executeStep' && name !== 'executeBuiltin') return;
    const { stepKey: key, attempt } = input as ExecuteStepInput;
    const failures = this.behaviourOf(key).failures ?? [];
    if ('failure' in end && isHeld(end.failure)) return; // it never began
    const told = 'failure' in end ? failures[attempt - 1] : undefined;
    const failure = 'isCancelled' in end ? 'cancelled' : told;
    this.attempts.push({ key, attempt, startMs: atMs, endMs: this.temporal.nowMs, failure });
    if (failure !== undefined) return;
    const row = this.rowOf(key);
    if (ENDED.includes(row.status)) throw new Error(`'${key}' succeeds though it has ended`);
    row.status = 'succeeded';
    row.outputs = this.behaviourOf(key).outputs ?? {};
  }

  /** As in Postgres: what has ended stays, unless somebody has it run again. */
  private record({ transitions }: RecordTransitions): void {
    for (const { stepKey, status, state } of transitions) {
      const row = this.rowOf(stepKey);
      if (!ENDED.includes(row.status) || state === 'reopened') row.status = status;
    }
  }

  private rowOf(key: string): Row {
    const row = this.rows.get(key);
    if (row === undefined) throw new Error(`no row of '${key}'`);
    return row;
  }
}
