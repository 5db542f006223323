import { createHash } from 'node:crypto';
import { evaluate, ExpressionError, parseExpression } from '../dag/expressions';
import { nameBeside, resolveInputs, scopeFor } from '../dag/scope';
import { renderArgv, renderText, renderValue } from '../dag/template';
import { AppError } from '../errors/app-error';
import type { ScopeStep } from '../schemas/graph';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { StepSpec } from '../schemas/plan';
import { findScopeSteps } from '../storage/postgres/step-outputs';
import type { StepKey, StoredStep } from '../storage/postgres/steps';
import { digestOfFiles } from './code-files';
import { getPipelineRun } from './pipeline-runs';
import type { PipelineRunDeps } from './pipeline-runs';

type Scope = ReturnType<typeof scopeFor>;

/** A step with every expression worked out. */
export interface RenderedStep {
  readonly run: PipelineRun;
  readonly inputs: Readonly<Record<string, unknown>>;
  /** For inputs that are all the outputs of a foreach step: the position of each entry's item. */
  readonly positions: Readonly<Record<string, readonly number[]>>;
  readonly with: Readonly<Record<string, unknown>>;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What else the key of its cache depends on, by expression. */
  readonly keyed: Readonly<Record<string, unknown>>;
  /** The digest of the files of the code that count, if not all do. */
  readonly files?: string | undefined;
}

/** Works out what a step reads: inputs, settings, command and environment. */
export async function renderStep(
  deps: PipelineRunDeps,
  key: StepKey,
  step: StoredStep,
): Promise<RenderedStep> {
  const { projectId, runId } = key;
  const run = await getPipelineRun(deps, { projectId, id: runId });
  const { earlier } = await scopeOf(deps, run, { projectId, ...step });
  const rendered = renderWith(run, step, earlier);
  const { spec } = step;
  return { ...rendered, files: await digestOfFiles(deps, { projectId, spec, ...run }) };
}

/** The same with what the earlier steps have left behind at hand. */
export function renderWith<R extends Pick<PipelineRun, 'params'>>(
  run: R,
  step: Pick<StoredStep, 'spec' | 'item' | 'run'>,
  earlier: readonly ScopeStep[],
): Omit<RenderedStep, 'run'> & { readonly run: R } {
  const scope = { ...scopeFor(run.params, step.item, earlier), ...runOf(step) };
  try {
    const rendered = render(step.spec, scope);
    const positions = positionsIn(rendered.inputs, listsOf(scope, earlier));
    return { run, ...rendered, positions };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new AppError('INVALID_ARGUMENT', `An expression cannot be worked out: ${error.message}.`);
  }
}

/** What the expressions of a step may read: params, its item, and what the steps it names left. */
export async function scopeOf(
  deps: PipelineRunDeps,
  run: Pick<PipelineRun, 'id' | 'params'>,
  step: Pick<StoredStep, 'spec' | 'item' | 'run'> & { readonly projectId: string },
): Promise<{ readonly earlier: readonly ScopeStep[]; readonly scope: Scope }> {
  const { projectId } = step;
  const { needs } = step.spec;
  const earlier =
    needs.length === 0
      ? []
      : await findScopeSteps(deps.postgres, { projectId, runId: run.id, steps: needs });
  return { earlier, scope: { ...scopeFor(run.params, step.item, earlier), ...runOf(step) } };
}

/** Handlers read how their run ended. */
function runOf({ run }: Pick<StoredStep, 'run'>): Scope {
  return run === undefined ? {} : { run };
}

function render(
  spec: StepSpec,
  scope: Readonly<Record<string, unknown>>,
): Omit<RenderedStep, 'run' | 'positions'> {
  const inputs = resolveInputs(spec, scope);
  // the path of an input is known on the node only: it is left as a variable of the environment
  const paths = mapValues(inputs, (_, name) => ({ path: `{{anneal-input:${name}}}` }));
  const inside = { ...scope, inputs: paths };
  return {
    inputs,
    with: mapValues(spec.with ?? {}, (value) => renderValue(value, scope)),
    argv: renderArgv(spec.argv ?? [], inside),
    env: mapValues(spec.env ?? {}, (text) => renderText(text, inside)),
    keyed: Object.fromEntries(
      (spec.cache?.values ?? []).map((text) => [text, evaluate(parseExpression(text), scope)]),
    ),
  };
}

/** The lists of foreach steps in a scope → the positions of the items in each; the skipped are left out. */
function listsOf(scope: Scope, earlier: readonly ScopeStep[]): Map<unknown, number[]> {
  const steps = scope['steps'] as Readonly<Record<string, { readonly outputs: unknown }>>;
  const seen = new Map<string, number>();
  const lists = new Map<unknown, number[]>();
  for (const { step, isForeach, item, outputs } of earlier) {
    if (!isForeach) continue;
    const list = steps[nameBeside(step)]?.outputs;
    const positions = lists.get(list) ?? [];
    lists.set(list, positions); // also of a foreach over an empty list
    if (item === undefined) continue;
    const position = seen.get(step) ?? 0;
    seen.set(step, position + 1);
    if (outputs !== null) positions.push(position);
  }
  return lists;
}

function positionsIn(
  inputs: RenderedStep['inputs'],
  lists: ReadonlyMap<unknown, readonly number[]>,
): RenderedStep['positions'] {
  const found = Object.entries(inputs).flatMap(([name, value]) => {
    const positions = lists.get(value);
    return positions === undefined ? [] : [[name, positions] as const];
  });
  return Object.fromEntries(found);
}

function mapValues<V, R>(
  record: Readonly<Record<string, V>>,
  map: (value: V, key: string) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}

/** The seed of a step: the same for every attempt, another one for every run, step and item. */
export function seedOf(key: StepKey): number {
  const digest = createHash('sha256').update(`${key.runId}/${key.stepKey}`).digest();
  return digest.readUInt32BE(0) % 2 ** 31; // PYTHONHASHSEED and numpy take at most 2^32 − 1
}
