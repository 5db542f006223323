import { isDeepStrictEqual } from 'node:util';
import { canonicalJson } from '../dag/canonical';
import type { PipelineRun, RunDiff, StepDiff } from '../schemas/pipeline-runs';
import { listContents, type StepContent } from '../storage/postgres/step-content';
import { groupBy } from '../dag/group-by';
import { listDifferentEnvironments } from '../storage/postgres/environments';
import { explainDifference } from './content-keys';
import { explainEnvironments } from './environments';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';

/** Environments are long; so many pairs tell what there is to tell. */
const ENVIRONMENTS_MAX = 200;

/** In what two runs differ: plan, code, params, and the steps that are not the same in both. */
export async function diffPipelineRuns(
  deps: PipelineRunDeps,
  { projectId, a, b }: { readonly projectId: string; readonly a: string; readonly b: string },
): Promise<RunDiff> {
  const runs = [a, b].map((id) => getPipelineRun(deps, { projectId, id }));
  const [one, other] = (await Promise.all(runs)) as [PipelineRun, PipelineRun];
  const [before, now] = await Promise.all([
    listContents(deps.postgres, { projectId, runId: a }),
    listContents(deps.postgres, { projectId, runId: b }),
  ]);
  const names = [...new Set([...Object.keys(one.params), ...Object.keys(other.params)])];
  const same = (name: string): boolean =>
    canonicalJson(one.params[name]) === canonicalJson(other.params[name]);
  return {
    pipeline: differ(one.pipeline, other.pipeline),
    planId: differ(one.planId, other.planId),
    codeDigest: differ(one.codeDigest, other.codeDigest),
    git: isDeepStrictEqual(one.git, other.git) ? null : { a: one.git, b: other.git },
    params: names
      .filter((name) => !same(name))
      .map((name) => ({ name, a: one.params[name] ?? null, b: other.params[name] ?? null })),
    steps: diffSteps(before, now),
    environments: await diffEnvironments(deps, { projectId, a, b }),
  };
}

/** Steps that differ in the same are told together: as a rule all of them do. */
async function diffEnvironments(
  { postgres }: PipelineRunDeps,
  runs: { readonly projectId: string; readonly a: string; readonly b: string },
): Promise<RunDiff['environments']> {
  const pairs = await listDifferentEnvironments(postgres, { ...runs, limit: ENVIRONMENTS_MAX });
  const texts = pairs.map(({ stepKey, a, b }) => ({ stepKey, changed: explainEnvironments(a, b) }));
  const told = texts.filter(({ changed }) => changed !== '');
  return [...groupBy(told, ({ changed }) => changed)].map(([changed, own]) => {
    return { changed, steps: own.map(({ stepKey }) => stepKey) };
  });
}

function differ<T>(a: T, b: T): { readonly a: T; readonly b: T } | null {
  return a === b ? null : { a, b };
}

/** In the order of the first run; what only the second one has comes last. */
function diffSteps(before: readonly StepContent[], now: readonly StepContent[]): StepDiff[] {
  const ofA = new Map(before.map((step) => [step.stepKey, step]));
  const ofB = new Map(now.map((step) => [step.stepKey, step]));
  const keys = [...new Set([...ofA.keys(), ...ofB.keys()])];
  return keys.flatMap((key) => diffStep(key, ofA.get(key), ofB.get(key)) ?? []);
}

function diffStep(
  key: string,
  a: StepContent | undefined,
  b: StepContent | undefined,
): StepDiff | undefined {
  const changed = explainDifference(a?.parts ?? b?.parts ?? {}, b?.parts ?? a?.parts ?? {});
  if (a?.status === b?.status && changed === '') return undefined;
  return { key, a: a?.status ?? null, b: b?.status ?? null, changed };
}
