import type { Job } from './workflow-execution';
import { cancelledActivity, encode, failedActivity, failureOf } from './temporal-payloads';

/** An activity that a workflow has asked for. */
export interface ActivityCall {
  readonly workflowId: string;
  readonly name: string;
  readonly id: string;
  readonly input: unknown;
  readonly atMs: number;
}
/** How an activity ends, so long after it was asked for. */
export type ActivityEnd = { readonly afterMs: number } & (
  { readonly result: unknown } | { readonly failure: Error } | { readonly isCancelled: true }
);
/** What becomes of a task that waits in a queue: it is taken up then, and ends as that says. */
export type ActivityTask =
  ActivityEnd | { readonly afterMs: number; readonly taken: () => ActivityEnd };
/** The workers of a test. */
export interface Workers {
  begin(call: ActivityCall): ActivityTask;
  /** Its scope was cancelled: how it ends now; undefined if it goes on to the end that it had. */
  cancel(call: ActivityCall): ActivityEnd | undefined;
  /** Called with the result when the workflow is about to hear of an end. */
  ended(call: ActivityCall, end: ActivityEnd): void;
  /** From so many events on a workflow begins a new history: lets a test say that there are more. */
  eventsOf(real: number): number;
}

/** Core's order within one workflow task. */
export function signalsFirst(jobs: readonly Job[]): Job[] {
  const isFirst = (job: Job): boolean => 'signalWorkflow' in job || 'doUpdate' in job;
  return [...jobs.filter(isFirst), ...jobs.filter((job) => !isFirst(job))];
}

/** What core makes of the end of an activity. */
export function resultOf(call: ActivityCall, end: ActivityEnd): object {
  if ('isCancelled' in end) return { cancelled: { failure: cancelledActivity(call) } };
  if ('failure' in end)
    return { failed: { failure: failedActivity(call, failureOf(end.failure)) } };
  return { completed: { result: encode(end.result) } };
}
