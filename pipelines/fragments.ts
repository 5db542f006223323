import { ExpressionError } from '../dag/expressions';
import { findDynamic, fragmentProblems, graftPlan, graftProblems } from '../dag/fragments';
import { checkParam } from '../dag/params';
import { planId } from '../dag/plan-id';
import { isArtifactRef, resolveInputs } from '../dag/scope';
import { renderValue } from '../dag/template';
import { AppError, found, isAppError, type Problem } from '../errors/app-error';
import type { GraphNode } from '../schemas/graph';
import { PLAN_LIMITS, type DynamicSpec, type Plan } from '../schemas/plan';
import type { ObjectStore } from '../storage/objects/store';
import { objectKey } from '../storage/objects/keys';
import type { Postgres } from '../storage/postgres/client';
import { selectArtifact } from '../storage/postgres/artifacts';
import type { StoredStep } from '../storage/postgres/steps';
import { checkPlan, describeProblems } from './plans';

/** The valid pipeline in an artifact of one file; INVALID_PLAN names every problem. */
export type ReadPipeline = (at: {
  readonly projectId: string;
  readonly artifactId: string;
}) => Promise<Plan>;

const { planBytesMax: BYTES_MAX, fragmentStepsMax: STEPS_MAX } = PLAN_LIMITS;
/** Canonical plans nest their steps, and JSON in those: deeper is hostile. */
const DEPTH_MAX = 64;

/**
 * Reads pipelines that steps have written: files of the pipeline language, by `compile`, or canonical
 * plans in JSON.
 */
export function createReadPipeline(deps: {
  readonly postgres: Postgres;
  readonly objects: Pick<ObjectStore, 'get'>;
  readonly compile: (text: string) => Plan | Promise<Plan>;
}): ReadPipeline {
  return async ({ projectId, artifactId }) => {
    const row = await selectArtifact(deps.postgres, { projectId, id: artifactId });
    const { manifest } = found(row, 'artifact', artifactId);
    const [file, ...more] = manifest;
    if (file === undefined || more.length > 0) {
      throw refusal(`has ${manifest.length} files: a pipeline is one file.`);
    }
    if (file.sizeBytes > BYTES_MAX) throw refusal(`has ${file.sizeBytes} bytes; at most 2 MiB.`);
    const body = await deps.objects.get(objectKey(projectId, file.digest));
    const parts: Uint8Array[] = [];
    for await (const part of found(body, 'object', file.digest)) parts.push(part as Uint8Array);
    const text = decode(Buffer.concat(parts));
    const canonical = canonicalIn(text);
    return check(() => (canonical === undefined ? deps.compile(text) : checkPlan(canonical)));
  };
}

function refusal(message: string): AppError {
  return new AppError('INVALID_PLAN', message, { problems: [{ path: 'the file', message }] });
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refusal('is no text in UTF-8.');
  }
}

/** What a text holds that is a canonical plan: JSON with a list of steps, where the language has names. */
function canonicalIn(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== 'object' || !('steps' in value)) return undefined;
  if (!Array.isArray(value.steps)) return undefined;
  if (!isShallow(value, DEPTH_MAX)) throw refusal('is nested too deeply.');
  return value;
}

function isShallow(value: unknown, depth: number): boolean {
  if (value === null || typeof value !== 'object') return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}

/** A dynamic step whose pipeline is there, in the plan of its run as it is so far. */
export interface AskedFragment {
  readonly plan: Plan;
  readonly node: Pick<GraphNode, 'key'>;
  readonly scope: Readonly<Record<string, unknown>>;
}
/** What a dynamic step runs, in the plan of its run; `written` unless that knew it before. */
export interface Fragment {
  readonly plan: Plan;
  readonly written?: { readonly plan: Plan; readonly artifactId: string; readonly digest: string };
}

type Problematic = { readonly problem: string };

/** Reads what a dynamic step is to run, or says why it cannot. */
export async function readFragment(
  readPipeline: ReadPipeline,
  asked: AskedFragment & { readonly projectId: string; readonly step: Pick<StoredStep, 'spec'> },
): Promise<Fragment | Problematic> {
  const { projectId, plan, node, step, scope } = asked;
  const dynamic = found(findDynamic(plan, node.key), 'dynamic step', node.key);
  if (dynamic.fragment !== undefined) return { plan };
  try {
    const { pipeline } = resolveInputs(step.spec, scope);
    if (!isArtifactRef(pipeline)) return { problem: `${dynamic.pipeline} is no artifact` };
    const { artifact: artifactId } = pipeline;
    const written = await readPipeline({ projectId, artifactId });
    const place = { plan: written, artifactId, digest: planId(written) };
    return await check(() => placeFragment(asked, place));
  } catch (error) {
    if (error instanceof ExpressionError) return { problem: error.message };
    if (!isAppError(error) || error.row.retryable) throw error;
    return { problem: error.problems.length > 0 ? describe(error.problems) : error.message };
  }
}

/** Puts a valid pipeline where the dynamic step is, or says why it cannot stand there. */
export function placeFragment(
  { plan, node, scope }: AskedFragment,
  written: NonNullable<Fragment['written']>,
): Fragment | Problematic {
  const dynamic = found(findDynamic(plan, node.key), 'dynamic step', node.key);
  const problems = [
    ...fragmentProblems(dynamic, written.plan),
    ...valueProblems(dynamic, { written: written.plan, scope }),
  ];
  if (problems.length > 0) return { problem: describe(problems) };
  const grafted = graftPlan(plan, new Map([[node.key, written.plan]]));
  const inPlace = graftProblems(grafted, node.key);
  return inPlace.length > 0 ? { problem: describe(inPlace) } : { plan: grafted, written };
}

/** Checks a text; what goes wrong with it does so every time, so it is refused and not tried again. */
async function check<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAppError(error) || error instanceof ExpressionError) throw error;
    const why = error instanceof Error ? error.message.slice(0, WHY_CHARS_MAX) : 'no reason given';
    throw refusal(`cannot be checked: ${why}.`);
  }
}
const WHY_CHARS_MAX = 200;

const REASON_CHARS_MAX = 4_000;

function describe(problems: readonly Problem[]): string {
  const text = `the pipeline that was written for it cannot run: ${describeProblems(problems)}`;
  return text.length <= REASON_CHARS_MAX ? text : `${text.slice(0, REASON_CHARS_MAX)}…`;
}

/** What the params get, now that it is known. Artifacts have no type that a parameter could ask for. */
function valueProblems(
  { with: values }: DynamicSpec,
  { written, scope }: { readonly written: Plan; readonly scope: AskedFragment['scope'] },
): Problem[] {
  return Object.entries(values ?? {}).flatMap(([name, given]) => {
    const spec = written.params[name];
    const value = renderValue(given, scope);
    if (spec === undefined || isArtifactRef(value)) return [];
    const message = checkParam(spec, value);
    return message === undefined ? [] : [{ path: `with.${name}`, message }];
  });
}

/** Why so many steps are not taken at once; undefined if they are few enough. */
export function tooManySteps(nodes: readonly GraphNode[]): string | undefined {
  const count = nodes.filter(({ kind, key }) => kind !== 'join' && !key.includes('#')).length;
  if (count <= STEPS_MAX) return undefined;
  return `the pipeline that was written for it has ${count} steps, with every item of each foreach; at most ${STEPS_MAX}`;
}
