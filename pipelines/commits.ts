import type { z } from 'zod';
import { AppError, found, isAppError } from '../errors/app-error';
import type { CommitAttempt } from '../schemas/attempts';
import type { Manifest } from '../schemas/artifacts';
import type { Outputs, OutputSpec, OutputValue } from '../schemas/plan';
import { endAttempt } from '../storage/postgres/attempts';
import type { AttemptKey } from '../storage/postgres/attempts';
import { selectLatestMetrics } from '../storage/postgres/metrics';
import { closeRunsOfSteps, selectRun } from '../storage/postgres/runs';
import { releaseWork } from '../storage/postgres/step-claims';
import { insertStepArtifacts, type NamedArtifact } from '../storage/postgres/step-artifacts';
import { commitOutputs } from '../storage/postgres/step-outputs';
import { findStep, findTrackedRun } from '../storage/postgres/steps';
import { recordTransitions } from '../storage/postgres/transitions';
import type { RecordedTransition } from '../storage/postgres/transitions';
import { assertNewestAttempt } from '../tracker/adoption';
import { artifactRootOf } from '../tracker/artifact-files';
import { commitArtifact, linkArtifact } from '../tracker/artifacts';
import type { ArtifactDeps } from '../tracker/artifacts';
import type { Metrics } from '../tracker/metrics';
import { announceDatasets } from './datasets';
import { endStepTokens } from './step-tokens';

export interface CommitDeps extends ArtifactDeps {
  readonly metrics: Metrics;
}
type Committed = z.infer<typeof CommitAttempt>;
/** Room for the list of a large foreach; more belongs into a file. */
const VALUE_CHARS_MAX = 64 * 1024;
/** Of the names that are there instead of a missing one. */
const KEYS_SHOWN_MAX = 10;
/** The most that one read of a series gives. */
const PAGE_POINTS = 25_000;

/**
 * Commits what a step has left behind: every declared output must be there. The first valid commit
 * wins; a later one changes nothing and is told what was committed.
 */
export async function commitAttempt(
  deps: CommitDeps,
  input: Committed & { readonly attempt: AttemptKey },
): Promise<Outputs> {
  const { attempt } = input;
  const step = found(await findStep(deps.postgres, attempt), 'step', attempt.stepKey);
  if (step.outputs !== null) return step.outputs;
  const trackedRunId = await findTrackedRun(deps.postgres, attempt);
  const outputs: Outputs = {};
  for (const [name, spec] of Object.entries(step.spec.outputs ?? {})) {
    outputs[name] = await readOutput(deps, { ...input, name, spec, trackedRunId });
  }
  const committed = await deps.postgres.transaction(async (sql) => {
    await recordTransitions(sql, { ...attempt, transitions: [succeeded(attempt)] });
    await assertNewestAttempt(sql, { ...attempt, pipelineRunId: attempt.runId });
    await endStepTokens(sql, { ...attempt, stepKeys: [attempt.stepKey] });
    const first = found(await commitOutputs(sql, { ...attempt, outputs }), 'step', attempt.stepKey);
    await insertStepArtifacts(sql, { ...attempt, role: 'output', artifacts: artifactsOf(first) });
    await announceDatasets(sql, attempt, step);
    if (step.spec.cache !== undefined) await releaseWork(sql, attempt);
    await endAttempt(sql, { ...attempt, status: 'succeeded', exitCode: 0 });
    const { projectId, runId: pipelineRunId } = attempt;
    const ended = { ...attempt, status: 'succeeded', atMs: Date.now() } as const;
    await closeRunsOfSteps(sql, { projectId, pipelineRunId, steps: [ended] });
    return first;
  });
  if (trackedRunId !== undefined)
    await showArtifacts(deps, { attempt, trackedRunId, outputs: committed });
  return committed;
}

function artifactsOf(outputs: Outputs): NamedArtifact[] {
  return Object.entries(outputs).flatMap(([name, output]) =>
    'artifact' in output ? [{ name, artifactId: output.artifact }] : [],
  );
}

/** What is recorded of the attempt that committed. */
export function succeeded({ stepKey, attempt }: AttemptKey): RecordedTransition {
  return {
    stepKey,
    attempt,
    state: 'succeeded',
    status: 'succeeded',
    reason: undefined,
    failureClass: undefined,
    isLost: false,
    atMs: Date.now(),
  };
}

interface Wanted extends Committed {
  readonly attempt: AttemptKey;
  readonly name: string;
  readonly spec: OutputSpec;
  readonly trackedRunId: string | undefined;
}

async function readOutput(deps: CommitDeps, wanted: Wanted): Promise<OutputValue> {
  const { name, spec } = wanted;
  if ('kind' in spec) {
    const manifest = wanted.artifacts[name];
    if (manifest === undefined) throw missing(name, 'no file was written for it');
    return {
      artifact: await commitFiles(deps, wanted, { kind: spec.kind, manifest }),
      kind: spec.kind,
    };
  }
  if ('metric' in spec) return { value: await readMetric(deps, wanted, spec) };
  const value = wanted.values[name];
  if (value === undefined) {
    throw missing(name, `outputs.json ${describeKeys(wanted.values)}. Write it there`);
  }
  if (JSON.stringify(value).length > VALUE_CHARS_MAX) {
    throw new AppError(
      'TOO_LARGE',
      `The output '${name}' is larger than 64 KiB: write it to a file.`,
    );
  }
  return { value };
}

async function readMetric(
  deps: CommitDeps,
  wanted: Wanted,
  spec: Extract<OutputSpec, { metric: string }>,
): Promise<number> {
  const { projectId } = wanted.attempt;
  const runId = wanted.trackedRunId;
  if (runId === undefined) throw missing(wanted.name, 'the step logged no run');
  await deps.metrics.settle();
  const value =
    spec.pick === 'last'
      ? await readLatest(deps, { projectId, runId, key: spec.metric })
      : await readExtreme(deps, { projectId, runId, key: spec.metric, pick: spec.pick });
  if (value === undefined) {
    const all = await selectLatestMetrics(deps.postgres, { projectId, runIds: [runId] });
    const logged = Object.fromEntries(all.map(({ key }) => [key, true]));
    throw missing(
      wanted.name,
      `no metric '${spec.metric}' was logged; the run ${describeKeys(logged)}`,
    );
  }
  if (Number.isFinite(value)) return value;
  throw missing(wanted.name, `the metric '${spec.metric}' is ${value}`);
}

interface Series {
  readonly projectId: string;
  readonly runId: string;
  readonly key: string;
}

async function readLatest(
  deps: CommitDeps,
  { projectId, runId, key }: Series,
): Promise<number | undefined> {
  const latest = await selectLatestMetrics(deps.postgres, { projectId, runIds: [runId] });
  return latest.find((point) => point.key === key)?.value;
}

/** The least or greatest finite value of a series; page by page, its length has no limit. */
async function readExtreme(
  deps: CommitDeps,
  series: Series & { readonly pick: 'min' | 'max' },
): Promise<number | undefined> {
  const { pick, ...find } = series;
  const better = pick === 'min' ? Math.min : Math.max;
  let best: number | undefined;
  let pageToken: string | undefined;
  do {
    const page = await deps.metrics.history({ ...find, maxResults: PAGE_POINTS, pageToken });
    for (const { value } of page.points) {
      if (Number.isFinite(value)) best = best === undefined ? value : better(best, value);
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined);
  return best;
}

/** Artifacts are refused by what their files are called: the output's name says which those are. */
async function commitFiles(
  deps: CommitDeps,
  { name, attempt }: Wanted,
  files: { readonly kind: string; readonly manifest: Manifest },
): Promise<string> {
  try {
    return await commitArtifact(deps, { projectId: attempt.projectId, ...files });
  } catch (error) {
    if (!isAppError(error) || error.code !== 'INVALID_ARGUMENT') throw error;
    throw new AppError('INVALID_ARGUMENT', `The output '${name}': ${error.message}`);
  }
}

/** So that a wrong name is seen beside the right one. */
function describeKeys(record: Readonly<Record<string, unknown>>): string {
  const keys = Object.keys(record);
  if (keys.length === 0) return 'holds nothing';
  const shown = keys.slice(0, KEYS_SHOWN_MAX).join(', ');
  return `holds ${shown}${keys.length > KEYS_SHOWN_MAX ? ', …' : ''}`;
}

function missing(name: string, why: string): AppError {
  return new AppError('STEP_OUTPUT_MISSING', `The output '${name}' is missing: ${why}.`);
}

/** Artifacts of a step also stand among the files of its tracked run, each under its output's name. */
async function showArtifacts(
  deps: CommitDeps,
  made: { readonly attempt: AttemptKey; readonly trackedRunId: string; readonly outputs: Outputs },
): Promise<void> {
  const { projectId } = made.attempt;
  const run = found(
    await selectRun(deps.postgres, { projectId, id: made.trackedRunId }),
    'run',
    made.trackedRunId,
  );
  const root = artifactRootOf(run.artifactUri);
  for (const [name, output] of Object.entries(made.outputs)) {
    if (!('artifact' in output)) continue;
    await linkArtifact(deps, { projectId, artifactId: output.artifact, folder: `${root}/${name}` });
  }
}
