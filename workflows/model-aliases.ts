import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineUpdate,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { createChangeAlias } from '../activities/change-alias';
import {
  CHANGE_ALIAS_UPDATE,
  changeAliasProblem,
  type ChangeAlias,
  type ChangedAlias,
  type ModelAliasesInput,
} from './contract';

const { changeAlias } = proxyActivities<{ changeAlias: ReturnType<typeof createChangeAlias> }>({
  startToCloseTimeout: '10s', // one statement; longer means a broken database
  scheduleToCloseTimeout: '60s', // the caller waits: better an error than a pile of waiting updates
  retry: { initialInterval: '200ms', maximumInterval: '5s' }, // repeating a key is harmless
});

/** Answers that are remembered across runs of the workflow: 128 × about 400 B of its input. */
const RECENT_MAX = 128;

interface Recent {
  readonly idempotencyKey: string;
  readonly changed: ChangedAlias;
}
/** The input of the next run of the same entity. */
interface ModelAliasesCarried extends ModelAliasesInput {
  readonly recent?: readonly Recent[];
}

export const changeAliasUpdate = defineUpdate<ChangedAlias, [ChangeAlias]>(CHANGE_ALIAS_UPDATE);

/**
 * One per registered model, without an end: lets alias changes happen one after the other, in the
 * order of their arrival. What makes a change safe is the compare-and-swap in the database, which
 * holds for writers that do not come through here, too.
 */
export async function modelAliases(input: ModelAliasesCarried): Promise<never> {
  const { projectId, model } = input;
  const recent = [...(input.recent ?? [])];
  let last: Promise<unknown> = Promise.resolve();

  const apply = async (change: ChangeAlias): Promise<ChangedAlias> => {
    const known = recent.find((answer) => answers(answer, change));
    if (known !== undefined) return known.changed;
    const changed = await changeAlias({ projectId, model, change }).catch(rethrowCause);
    recent.push({ idempotencyKey: change.idempotencyKey, changed });
    if (recent.length > RECENT_MAX) recent.shift();
    return changed;
  };

  setHandler(
    changeAliasUpdate,
    (change) => {
      const turn = last.then(() => apply(change));
      last = turn.catch(() => undefined); // a refused change does not hold up the next one
      return turn;
    },
    { validator: refuse },
  );

  // suggested at 1,800 of 2,000 updates; no change is ever cut in two
  await condition(() => workflowInfo().continueAsNewSuggested && allHandlersFinished());
  return continueAsNew<typeof modelAliases>({ projectId, model, recent });
}

/** The same key with another version is not answered here: the rule refuses it. */
function answers({ idempotencyKey, changed }: Recent, change: ChangeAlias): boolean {
  return (
    idempotencyKey === change.idempotencyKey &&
    changed.alias === change.alias &&
    changed.version === change.version
  );
}

/**
 * A refused update leaves nothing in the history. Once the next run is due new changes must wait
 * for it: otherwise steady traffic would keep this run open until the server ends its updates.
 */
function refuse(change: ChangeAlias): void {
  const problem = changeAliasProblem(change);
  if (problem !== undefined) throw ApplicationFailure.nonRetryable(problem, 'INVALID_ARGUMENT');
  if (workflowInfo().continueAsNewSuggested) {
    throw ApplicationFailure.retryable('Send this change again in a moment.', 'RATE_LIMITED');
  }
}

/** Callers see the rule's own failure, not that an activity was the one to find it. */
function rethrowCause(error: unknown): never {
  if (error instanceof ActivityFailure && error.cause instanceof ApplicationFailure) {
    throw error.cause;
  }
  throw error;
}
