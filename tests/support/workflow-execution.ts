import './workflow-globals';
import { defaultPayloadConverter, toPayloads } from '@temporalio/common';
import type { WorkflowInfo } from '@temporalio/workflow';
import { setActivator } from '@temporalio/workflow/lib/global-attributes';
import { Activator } from '@temporalio/workflow/lib/internals';
import { tryUnblockConditions } from '@temporalio/workflow/lib/worker-interface';
import * as workflows from '../../workflows';

export type WorkflowType = keyof typeof workflows;
/** What happened to a workflow, in the words of Temporal's core: `{ fireTimer: { seq: 1 } }`. */
export type Job = Readonly<Record<string, object>>;
export type Command = ReturnType<Activator['concludeActivation']>['commands'][number];

export interface StartExecution {
  readonly workflowId: string;
  /** Counts the histories of one workflow. */
  readonly history: number;
  readonly type: WorkflowType;
  readonly args: readonly unknown[];
}

const EVENTS_PER_TASK = 3; // scheduled, started, completed
const EVENTS_PER_COMMAND = 2; // an activity has more, a timer as many

/**
 * One history of a workflow: our code on Temporal's own workflow library, in this process. No sandbox
 * is around it, so one execution takes its turn at a time, until nothing of it can go on.
 */
export class WorkflowExecution {
  readonly workflowId: string;
  readonly history: number;
  readonly type: WorkflowType;
  events = 1;
  private readonly activator: Activator;
  private readonly args: readonly unknown[];
  private isStarted = false;

  constructor({ workflowId, history, type, args }: StartExecution, nowMs: number) {
    this.workflowId = workflowId;
    this.history = history;
    this.type = type;
    this.args = args;
    this.activator = new Activator({
      info: infoOf(workflowId, type),
      now: nowMs,
      randomnessSeed: [history],
      showStackTraceSources: false,
      sourceMap: { version: 3, sources: [], names: [], mappings: '', file: '' },
      registeredActivityNames: new Set(),
      getTimeOfDay: () => 0n,
      stackTracesEnabled: false,
    });
    this.activator.workflow = workflows[type] as never;
  }

  /** Tells the workflow what happened, lets it go on as far as it can, and gives what it wants done. */
  async activate(jobs: readonly Job[], nowMs: number, events: number): Promise<readonly Command[]> {
    const { activator } = this;
    const realNow = Date.now;
    setActivator(activator);
    Date.now = () => nowMs;
    try {
      activator.now = nowMs;
      activator.mutateWorkflowInfo((info) => ({ ...info, historyLength: events }));
      for (const job of jobs) this.apply(job);
      if (!this.isStarted) this.start();
      tryUnblockConditions();
      // the sandbox, too, asks conditions again whenever all promises have been followed
      do await new Promise(setImmediate);
      while (tryUnblockConditions() > 0);
      activator.maybeRethrowWorkflowTaskError();
      const { commands } = activator.concludeActivation();
      this.events += EVENTS_PER_TASK + jobs.length + EVENTS_PER_COMMAND * commands.length;
      return commands;
    } finally {
      Date.now = realNow;
      setActivator(undefined);
    }
  }

  private apply(job: Job): void {
    for (const [name, content] of Object.entries(job)) {
      const handle = this.activator[name as 'fireTimer'];
      handle.call(this.activator, content);
      tryUnblockConditions();
    }
  }

  private start(): void {
    this.isStarted = true;
    const job = { arguments: toPayloads(defaultPayloadConverter, ...this.args) ?? [], headers: {} };
    this.activator.initializeWorkflow(job);
    this.activator.startWorkflow(job);
  }
}

function infoOf(workflowId: string, workflowType: string): WorkflowInfo {
  const info = {
    workflowId,
    workflowType,
    runId: workflowId,
    namespace: 'default',
    taskQueue: 'anneal-control',
    historyLength: 0,
    memo: {},
    unsafe: { now: Date.now, isReplaying: false, isReplayingHistoryEvents: false },
  };
  return info as unknown as WorkflowInfo;
}
