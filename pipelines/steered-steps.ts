import { handlersOf } from '../dag/handlers';
import { isEnded, needsOf, type PlacedGraph } from '../dag/placed-graph';
import { expandGraph } from '../dag/expand';
import { segmentsOf } from '../dag/segments';
import { suggest } from '../dag/suggest';
import { AppError } from '../errors/app-error';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import type { ControlRun } from '../workflows/contract';
import type { PipelineRunDeps } from './pipeline-runs';
import { getPlan } from './plans';
import { placeRun } from './run-graphs';

type OfStep = ControlRun & { readonly action: 'skip' | 'retry' };
interface Asked {
  readonly run: PipelineRun;
  readonly plan: Plan;
  readonly placed: PlacedGraph;
  readonly control: OfStep;
}

/**
 * A change of one step with the part of the run that has to take it, if the run is carried out in parts.
 * NOT_FOUND for a step that the run has not; INVALID_STATE for one that nobody can change any more, or yet.
 */
export async function placeControl(
  deps: PipelineRunDeps,
  { projectId, run, control }: Pick<Asked, 'run' | 'control'> & { readonly projectId: string },
): Promise<ControlRun> {
  const { stepKey } = control;
  const plan = await getPlan(deps, { projectId, id: run.planId });
  const placed = await placeRun(deps, projectId, run);
  const asked = { run, plan, placed, control };
  if (!placed.nodes.has(stepKey)) throw unknownStep(asked);
  const handlers = handlerKeys(plan);
  if (handlers.includes(stepKey)) return control;
  if (handlers.some((key) => placed.nodes.has(key))) {
    const message = `The steps of the run '${run.id}' have ended, so '${stepKey}' stays as it is.`;
    throw new AppError('INVALID_STATE', `${message} ${resume(asked)}`);
  }
  const parts = partsOf(asked);
  const part = parts?.(stepKey);
  if (parts === undefined || part === undefined) return control;
  if (control.action === 'retry') assertNothingElsewhere(asked, parts);
  return { ...control, part };
}

function unknownStep({ run, plan, placed, control: { stepKey } }: Asked): AppError {
  if (handlerKeys(plan).includes(stepKey)) {
    const message = `'${stepKey}' is a handler: it begins when all steps have ended, if at all, and can be changed from then on.`;
    return new AppError('INVALID_STATE', message);
  }
  const hint = suggest(stepKey, [...placed.nodes.keys()]);
  return new AppError('NOT_FOUND', `The run '${run.id}' has no step '${stepKey}'.${hint}`);
}

function handlerKeys(plan: Plan): string[] {
  const lists = Object.entries(handlersOf(plan));
  return lists.flatMap(([list, steps]) => steps.map(({ name }) => `${list}.${name}`));
}

/** Says of a key which part of the run holds it; undefined for a run that one workflow carries out. */
function partsOf({ plan, run }: Asked): ((key: string) => number | undefined) | undefined {
  const segments = segmentsOf(expandGraph(plan, run.params));
  if (segments.length === 1) return undefined;
  const parts = new Map(
    segments.flatMap((part) => part.nodes.map(({ key }) => [key, part.segment])),
  );
  return (key) => {
    // items that became known late are where their foreach is
    let at = key;
    while (!parts.has(at) && at.includes('[')) at = at.slice(0, at.lastIndexOf('['));
    return parts.get(at);
  };
}

/** Other parts do not take back what they have given up, so the run would fail all the same. */
function assertNothingElsewhere(asked: Asked, parts: (key: string) => number | undefined): void {
  const { placed, control } = asked;
  const part = parts(control.stepKey);
  const behind = new Set([control.stepKey]);
  for (const { key, node, status } of placed.nodes.values()) {
    if (!needsOf(node).some((need) => behind.has(need))) continue;
    behind.add(key); // nodes come behind those that they need
    if (node.kind === 'join' || parts(key) === part || !isEnded(status)) continue;
    const message = `'${key}', which '${control.stepKey}' held up, lies in another part of the run, and stays skipped.`;
    throw new AppError('INVALID_STATE', `${message} ${resume(asked)}`);
  }
}

function resume({ run, control }: Asked): string {
  return `Resume the run when it has ended: anneal run resume ${run.id} --from ${control.stepKey.split('[')[0] ?? ''}`;
}
