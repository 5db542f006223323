import type { DecisionDeps } from '../pipelines/decisions';
import type { BuiltinDeps } from '../pipelines/steps';
import { createBeginHandlers } from './begin-handlers';
import { createBeginRun } from './begin-run';
import { createChangeAlias } from './change-alias';
import { createDecideStep } from './decide-step';
import { createExecuteBuiltin } from './execute-builtin';
import { createFinishRun } from './finish-run';
import { createLoadSegment } from './load-segment';
import { createRecordControl } from './record-control';
import { createRecordTransitions } from './record-transitions';

/** Every activity of the control worker. The names are wire names: histories hold them. */
export function createActivities(deps: BuiltinDeps & DecisionDeps) {
  return {
    beginHandlers: createBeginHandlers(deps),
    beginRun: createBeginRun(deps),
    changeAlias: createChangeAlias(deps),
    decideStep: createDecideStep(deps),
    executeBuiltin: createExecuteBuiltin(deps),
    finishRun: createFinishRun(deps),
    loadSegment: createLoadSegment(deps),
    recordControl: createRecordControl(deps),
    recordTransitions: createRecordTransitions(deps),
  };
}
/** What workflows see of the control worker. */
export type Activities = ReturnType<typeof createActivities>;
