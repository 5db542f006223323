import { WorkflowExecution, type Command, type Job, type WorkflowType } from './workflow-execution';
import { decode, decodeAll, encode, notFound } from './temporal-payloads';
import {
  resultOf,
  signalsFirst,
  type ActivityCall,
  type ActivityTask,
  type Workers,
} from './temporal-workers';
import { Heap } from '../../dag/heap';
import type { Dice } from './dice';

interface Happening {
  readonly atMs: number;
  readonly rank: number;
  readonly workflowId: string;
  /** Of this history alone; undefined for what concerns whichever is open. */
  readonly history: number | undefined;
  /** What the workflow is told; undefined if that is out of date. */
  readonly job: () => Job | undefined;
}
interface Open {
  readonly execution: WorkflowExecution;
  readonly parent: { readonly workflowId: string; readonly seq: number } | undefined;
  readonly timers: Set<number>;
  readonly activities: Map<number, { readonly call: ActivityCall; at: number }>;
  readonly children: Map<number, string>;
}
/** How a workflow ended. */
export type WorkflowEnd = { readonly result: unknown } | { readonly failure: unknown };

const CHILD_START_MS_MAX = 1_200; // longer than a signal to it waits before it tries again
const STEPS_MAX = 100_000;

/**
 * Temporal's server and core as our workflows see them, in this process and with a clock of its own:
 * timers, activities, signals, updates, children, new histories. What happens at the same time comes
 * in the order of the dice, in one workflow task.
 */
export class SmallTemporal {
  nowMs = 1_000_000;
  /** How many workflow tasks there were. */
  tasks = 0;
  readonly ends = new Map<string, WorkflowEnd>();
  /** Answers to updates, in order: true, or the words of a refusal. */
  readonly answers: { readonly answer: true | string; readonly atMs: number }[] = [];
  private readonly open = new Map<string, Open>();
  private readonly happenings: Heap<Happening>;
  private readonly workers: Workers;
  private readonly dice: Dice;
  private updates = 0;

  constructor(workers: Workers, dice: Dice) {
    this.workers = workers;
    this.dice = dice;
    this.happenings = new Heap((a, b) => (a.atMs === b.atMs ? a.rank < b.rank : a.atMs < b.atMs));
  }

  start(type: WorkflowType, workflowId: string, args: readonly unknown[]): void {
    this.begin({ type, workflowId, args, history: 0 }, undefined);
  }

  /** Asks for the end of a workflow after so many milliseconds; nothing if it has ended by then. */
  cancel(workflowId: string, afterMs: number): void {
    this.later({ workflowId, history: undefined, afterMs }, () => ({ cancelWorkflow: {} }));
  }

  update(
    workflowId: string,
    { name, input }: { name: string; input: unknown },
    afterMs: number,
  ): void {
    const id = `update-${this.updates++}`;
    this.later({ workflowId, history: undefined, afterMs }, () => ({
      doUpdate: { id, protocolInstanceId: id, name, input: [encode(input)], runValidator: true },
    }));
  }

  /** Calls a function of the test's at a time. */
  at(afterMs: number, call: () => void): void {
    this.later({ workflowId: '', history: undefined, afterMs }, () => {
      call();
      return undefined;
    });
  }

  /** Goes on until nothing can happen any more. */
  async run(): Promise<void> {
    for (let steps = 0; ; steps += 1) {
      if (steps > STEPS_MAX) throw new Error(`still running after ${STEPS_MAX} workflow tasks`);
      const first = this.happenings.pop();
      if (first === undefined) return;
      this.nowMs = first.atMs;
      const batch = [first, ...this.sameTime(first)];
      const open = this.open.get(first.workflowId);
      if (open === undefined) {
        for (const { job } of batch) job();
        continue;
      }
      const { history } = open.execution;
      const due = batch.filter((one) => one.history === undefined || one.history === history);
      const jobs = due.map(({ job }) => job()).filter((job) => job !== undefined);
      if (jobs.length > 0 || open.execution.events === 1) await this.task(open, signalsFirst(jobs));
    }
  }

  private sameTime({ atMs, workflowId }: Happening): Happening[] {
    const same: Happening[] = [];
    const others: Happening[] = [];
    for (let next = this.happenings.pop(); next !== undefined; next = this.happenings.pop()) {
      if (next.atMs !== atMs) {
        others.push(next);
        break;
      }
      (next.workflowId === workflowId ? same : others).push(next);
    }
    for (const other of others) this.happenings.push(other);
    return same;
  }

  private async task(open: Open, jobs: readonly Job[]): Promise<void> {
    const { execution } = open;
    this.tasks += 1;
    const events = this.workers.eventsOf(execution.events);
    const commands = await execution.activate(jobs, this.nowMs, events);
    for (const command of commands) this.carryOut(open, command);
  }

  private begin(
    started: ConstructorParameters<typeof WorkflowExecution>[0],
    parent: Open['parent'],
  ): void {
    const execution = new WorkflowExecution(started, this.nowMs);
    const { workflowId, history } = started;
    this.open.set(workflowId, {
      execution,
      parent,
      timers: new Set(),
      activities: new Map(),
      children: new Map(),
    });
    this.later({ workflowId, history, afterMs: 0 }, () => undefined);
  }

  private later(
    { afterMs, ...to }: { afterMs: number } & Pick<Happening, 'workflowId' | 'history'>,
    job: Happening['job'],
  ): void {
    this.happenings.push({ ...to, atMs: this.nowMs + afterMs, rank: this.dice(2 ** 20), job });
  }

  private carryOut(open: Open, command: Command): void {
    const { workflowId, history } = open.execution;
    const here = { workflowId, history };
    if (command.scheduleActivity) this.schedule(open, command.scheduleActivity);
    else if (command.requestCancelActivity)
      this.cancelActivity(open, command.requestCancelActivity);
    else if (command.startTimer) {
      const { seq, startToFireTimeout } = command.startTimer;
      const { seconds, nanos } = startToFireTimeout ?? {};
      const afterMs = Number(seconds ?? 0) * 1000 + (nanos ?? 0) / 1e6;
      open.timers.add(seq ?? 0);
      this.later({ ...here, afterMs }, () =>
        open.timers.delete(seq ?? 0) ? { fireTimer: { seq } } : undefined,
      );
    } else if (command.cancelTimer) open.timers.delete(command.cancelTimer.seq ?? 0);
    else if (command.updateResponse) this.answer(command.updateResponse);
    else if (command.setPatchMarker)
      return; // nothing is replayed here
    else if (command.signalExternalWorkflowExecution) {
      this.signal(here, command.signalExternalWorkflowExecution);
    } else if (command.startChildWorkflowExecution) {
      this.startChild(open, command.startChildWorkflowExecution);
    } else if (command.cancelChildWorkflowExecution) {
      this.cancelChild(open, command.cancelChildWorkflowExecution.childWorkflowSeq ?? 0);
    } else this.end(open, command);
  }

  private schedule(open: Open, command: NonNullable<Command['scheduleActivity']>): void {
    const { workflowId } = open.execution;
    const seq = command.seq ?? 0;
    const [input] = decodeAll(command.arguments);
    const [name, id] = [command.activityType ?? '', command.activityId ?? ''];
    const call: ActivityCall = { workflowId, name, id, input, atMs: this.nowMs };
    open.activities.set(seq, { call, at: 0 });
    this.endActivity(open, seq, this.workers.begin(call));
  }

  /** The first end that is due counts; a later one takes the place of one that was announced. */
  private endActivity(open: Open, seq: number, end: ActivityTask): void {
    const { workflowId, history } = open.execution;
    const activity = open.activities.get(seq);
    if (activity === undefined) return;
    const at = (activity.at += 1);
    this.later({ workflowId, history, afterMs: end.afterMs }, () => {
      if (open.activities.get(seq)?.at !== at) return undefined;
      if ('taken' in end) {
        this.endActivity(open, seq, end.taken());
        return undefined;
      }
      open.activities.delete(seq);
      this.workers.ended(activity.call, end);
      return { resolveActivity: { seq, result: resultOf(activity.call, end) } };
    });
  }

  private cancelActivity(open: Open, { seq }: NonNullable<Command['requestCancelActivity']>): void {
    const activity = open.activities.get(seq ?? 0);
    const end = activity === undefined ? undefined : this.workers.cancel(activity.call);
    if (end !== undefined) this.endActivity(open, seq ?? 0, end);
  }

  private answer(response: NonNullable<Command['updateResponse']>): void {
    const { completed, rejected } = response;
    const answer = completed ? true : rejected ? (rejected.message ?? '') : undefined;
    if (answer !== undefined) this.answers.push({ answer, atMs: this.nowMs });
  }

  private signal(
    here: Pick<Happening, 'workflowId' | 'history'>,
    command: NonNullable<Command['signalExternalWorkflowExecution']>,
  ): void {
    const { seq, signalName, args } = command;
    const workflowId = command.workflowExecution?.workflowId ?? '';
    const failure = this.open.has(workflowId) ? {} : { failure: notFound(workflowId) };
    const resolve = (): void => {
      const resolved = { resolveSignalExternalWorkflow: { seq, ...failure } };
      this.later({ ...here, afterMs: 0 }, () => resolved);
    };
    if ('failure' in failure) {
      resolve();
      return;
    }
    this.later({ workflowId, history: undefined, afterMs: 0 }, () => {
      resolve(); // it was taken, so a second one comes behind it
      return { signalWorkflow: { signalName, input: args ?? [], headers: {} } };
    });
  }

  private startChild(
    open: Open,
    {
      seq,
      workflowId: child,
      workflowType,
      input,
    }: NonNullable<Command['startChildWorkflowExecution']>,
  ): void {
    const { workflowId, history } = open.execution;
    const id = child ?? '';
    open.children.set(seq ?? 0, id);
    const afterMs = this.dice(CHILD_START_MS_MAX);
    this.later({ workflowId, history, afterMs }, () => {
      const started = { type: workflowType as WorkflowType, args: decodeAll(input), history: 0 };
      this.begin({ ...started, workflowId: id }, { workflowId, seq: seq ?? 0 });
      return { resolveChildWorkflowExecutionStart: { seq, succeeded: { runId: id } } };
    });
  }

  /** One that has not started yet is cancelled when it has. */
  private cancelChild({ children }: Open, seq: number): void {
    const child = children.get(seq) ?? '';
    const afterMs = this.open.has(child) || this.ends.has(child) ? 0 : CHILD_START_MS_MAX;
    this.cancel(child, afterMs);
  }

  private end(open: Open, command: Command): void {
    const { workflowId, history, type } = open.execution;
    const again = command.continueAsNewWorkflowExecution;
    if (again) {
      const args = decodeAll(again.arguments);
      this.begin({ type, workflowId, args, history: history + 1 }, open.parent);
      return;
    }
    const { completeWorkflowExecution: completed, failWorkflowExecution: failed } = command;
    if (!completed && !failed) throw new Error(`unknown command ${Object.keys(command).join()}`);
    this.open.delete(workflowId);
    const end = completed
      ? { result: decode(completed.result) }
      : { failure: failed?.failure ?? undefined };
    this.ends.set(workflowId, end);
    const { parent } = open;
    if (parent === undefined) return;
    const result = completed ? { completed: { result: completed.result } } : { failed };
    this.later({ workflowId: parent.workflowId, history: undefined, afterMs: 0 }, () => ({
      resolveChildWorkflowExecution: { seq: parent.seq, result },
    }));
  }
}
