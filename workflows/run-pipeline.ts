import { ApplicationFailure } from '@temporalio/common';
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  workflowInfo,
} from '@temporalio/workflow';
import type { Segment } from '../schemas/graph';
import {
  PRIORITY_DEFAULT,
  type BegunRun,
  type CarriedState,
  type RunPipelineInput,
  type RunPipelineResult,
  type SegmentResult,
} from './contract';
import { Interpreter, type InterpretedRun } from './interpreter';
import { beginRun, finishRun } from './proxies';
import { endOf, runHandlers, type RunEnd } from './run-handlers';
import { explain, interpretParts } from './run-parts';
import { answerControls, type Steering } from './steering';

const ID_PREFIX = 'pipeline-run/';

/**
 * One run of a pipeline: interprets its graph itself, or, if it is large, leaves its parts to child
 * workflows. Decisions only: Postgres holds what happened, the history holds references.
 */
export async function runPipeline(input: RunPipelineInput): Promise<RunPipelineResult> {
  const { workflowId } = workflowInfo();
  const runId = workflowId.startsWith(ID_PREFIX) ? workflowId.slice(ID_PREFIX.length) : workflowId;
  const projectId = input.projectId ?? 'default';
  const steering = answerControls({ projectId, runId }, input);
  // a cancelled run still writes its end, so only the steps are in a scope that can be cancelled
  return CancellationScope.nonCancellable(async () => {
    const begun = await begin(input, { projectId, runId });
    const { priority = PRIORITY_DEFAULT } = input;
    const run = { projectId, runId, pipeline: begun.pipeline, priority };
    const result = input.handled ?? (await interpretSteps({ input, run, begun }, steering));
    const end = endOf(result);
    if (begun.hasHandlers === true) {
      const handled = await runHandlers(run, end, { carried: handlersOf(input), steering });
      if (!handled.isDone) {
        return continueAsNew<typeof runPipeline>({
          ...input,
          carried: handled.carried,
          handled: result,
        });
      }
    }
    await condition(allHandlersFinished); // whoever asked for something gets an answer
    return finish(run, end);
  });
}

/** What was carried here belongs to the steps until they have ended. */
function handlersOf({ handled, carried }: RunPipelineInput): CarriedState | undefined {
  return handled === undefined ? undefined : carried;
}

function interpretSteps(
  { input, run, begun }: { readonly begun: BegunRun } & Pick<WholeRun, 'input' | 'run'>,
  steering: Steering,
): Promise<SegmentResult> {
  const { segment, segments } = begun;
  return segment === null
    ? interpretParts(run, segments, steering)
    : interpretWhole({ input, run, segment }, steering);
}

/** A run that cannot begin fails its workflow with the reason; its row, if any, says the same. */
async function begin(
  input: RunPipelineInput,
  run: { readonly projectId: string; readonly runId: string },
): Promise<BegunRun> {
  try {
    const begun: RunPipelineInput = { ...input, carried: undefined, handled: undefined };
    return await beginRun({ ...begun, ...run });
  } catch (error) {
    const { cause, reason } = explain(error);
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

interface WholeRun {
  readonly input: RunPipelineInput;
  readonly run: InterpretedRun;
  readonly segment: Segment;
}

async function interpretWhole(
  { input, run, segment }: WholeRun,
  { cancelRequested, steer }: Steering,
): Promise<SegmentResult> {
  const interpreter = new Interpreter(run, segment, input.carried);
  steer((control) => interpreter.control(control));
  cancelRequested.catch(() => {
    interpreter.cancel();
  });
  const interpreted = await interpreter.interpret();
  if (interpreted.isDone) return interpreted.result;
  return continueAsNew<typeof runPipeline>({ ...input, carried: interpreted.carried });
}

async function finish(run: InterpretedRun, end: RunEnd): Promise<RunPipelineResult> {
  const { projectId, runId } = run;
  const { outputs } = await finishRun({ projectId, runId, ...end });
  return { runId, status: end.status, outputs };
}
