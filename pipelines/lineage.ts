import { AppError, found } from '../errors/app-error';
import type { Lineage, LineageDirection, LineageEdge, LineageKind } from '../schemas/lineage';
import { selectArtifact } from '../storage/postgres/artifacts';
import { findModelAlias } from '../storage/postgres/model-aliases';
import * as stored from '../storage/postgres/lineage';
import {
  artifactsOfSteps,
  stepsOfArtifacts,
  type ArtifactRole,
  type StepArtifact,
} from '../storage/postgres/step-artifacts';
import { getPipelineRun, type PipelineRunDeps } from './pipeline-runs';

/** More is no picture any more; what is nearest to the start is shown. */
const NODES_MAX = 500;

type Deps = Pick<PipelineRunDeps, 'postgres'>;
type Way = Exclude<LineageDirection, 'both'>;
/** A node before it is described. */
type Ref =
  | { readonly kind: 'artifact'; readonly id: string }
  | { readonly kind: 'step'; readonly runId: string; readonly stepKey: string }
  | ({ readonly kind: 'model' } & stored.LineageModel);
interface Link {
  readonly from: Ref;
  readonly to: Ref;
  readonly name: string;
}
interface Start {
  readonly projectId: string;
  readonly kind: LineageKind;
  /** An artifact's id, `<run>/<step key>`, `<model>/<version>`, `<model>@<alias>`, or a run's id. */
  readonly id: string;
}

/**
 * What something was made of, and what was made of it: steps, the artifacts between them, and the model
 * versions that hold those. At most 500 nodes, `depth` edges from the start; NOT_FOUND without a start.
 */
export async function getLineage(
  deps: Deps,
  start: Start & { readonly direction: LineageDirection; readonly depth: number },
): Promise<Lineage> {
  const { projectId, direction, depth } = start;
  const walk = new Walk(deps, projectId);
  const begin = await findStart(deps, start);
  walk.add(begin);
  const ways = direction === 'both' ? (['up', 'down'] as const) : [direction];
  for (const way of ways) await walk.go(begin, way, depth);
  return { start: begin.map(keyOf), ...(await walk.describe()) };
}

async function findStart({ postgres }: Deps, { projectId, kind, id }: Start): Promise<Ref[]> {
  if (kind === 'artifact') {
    found(await selectArtifact(postgres, { projectId, id }), 'artifact', id);
    return [{ kind, id }];
  }
  if (kind === 'run') {
    await getPipelineRun({ postgres }, { projectId, id });
    const steps = await stored.stepsOfRun(postgres, { projectId, runId: id, limit: NODES_MAX });
    return steps.map(stepRef);
  }
  const at = id.lastIndexOf('@');
  if (kind === 'model' && at > 0) {
    const [model, alias] = [id.slice(0, at), id.slice(at + 1)];
    const version = await findModelAlias(postgres, { projectId, model, alias });
    return findStart(
      { postgres },
      { projectId, kind, id: `${model}/${found(version, 'alias', id)}` },
    );
  }
  const [before, behind] = halves(kind, id);
  if (kind === 'step') {
    const key = { projectId, runId: before, stepKey: behind };
    return [stepRef(found(await stored.findWorker(postgres, key), 'step', id))];
  }
  const version = /^\d{1,9}$/.test(behind) ? Number(behind) : 0;
  const model = await stored.findLineageModel(postgres, { projectId, model: before, version });
  return [asRef(found(model, 'model version', id))];
}

/** A step's key may hold a slash no more than a run's id; a model's name may, its version not. */
function halves(kind: 'step' | 'model', id: string): [string, string] {
  const slash = id.lastIndexOf('/');
  const [before, behind] = [id.slice(0, Math.max(0, slash)), id.slice(slash + 1)];
  if (before !== '' && behind !== '') return [before, behind];
  const form = kind === 'step' ? 'RUN/STEP' : 'NAME/VERSION or NAME@ALIAS';
  throw new AppError('INVALID_ARGUMENT', `'${id}' does not name a ${kind}: write it as ${form}.`);
}

/** Goes from level to level; every node once, the nearest first. */
class Walk {
  private readonly refs = new Map<string, Ref>();
  private readonly edges = new Map<string, LineageEdge>();
  private readonly deps: Deps;
  private readonly projectId: string;
  private isCut = false;

  constructor(deps: Deps, projectId: string) {
    this.deps = deps;
    this.projectId = projectId;
  }

  /** Gives the ones that are new, as far as there is room. */
  add(refs: readonly Ref[]): Ref[] {
    return refs.filter((ref) => {
      const key = keyOf(ref);
      if (this.refs.has(key)) return false;
      if (this.refs.size < NODES_MAX) {
        this.refs.set(key, ref);
        return true;
      }
      this.isCut = true;
      return false;
    });
  }

  async go(begin: readonly Ref[], way: Way, depth: number): Promise<void> {
    let level = begin;
    for (let i = 0; level.length > 0; i += 1) {
      const links = way === 'up' ? await this.up(level) : await this.down(level);
      const ends = links.map(({ from, to }) => (way === 'up' ? from : to));
      if (i === depth) {
        this.isCut ||= ends.some((ref) => !this.refs.has(keyOf(ref)));
        return;
      }
      level = this.add(ends);
      for (const link of links) this.keep(link);
    }
  }

  private keep({ from: maker, to: made, name }: Link): void {
    const [from, to] = [keyOf(maker), keyOf(made)];
    if (!this.refs.has(from) || !this.refs.has(to)) return;
    this.edges.set(JSON.stringify([from, to, name]), { from, to, name });
  }

  private async up(level: readonly Ref[]): Promise<Link[]> {
    const { artifacts, steps, models } = byKind(level);
    const makers = await this.around(artifacts, 'output');
    const inputs = await this.within(steps, 'input');
    const held = models.flatMap((model) => heldBy(model));
    // a version whose files no step has made may have been taken of a step's tracked run
    const made = await this.around(
      held.map(({ from }) => from),
      'output',
    );
    const known = new Set(made.map(({ to }) => keyOf(to)));
    const taken = models.filter(({ artifactId }) => !known.has(`artifact:${artifactId ?? ''}`));
    return [...makers, ...inputs, ...held, ...taken.flatMap(takenOf)];
  }

  private async down(level: readonly Ref[]): Promise<Link[]> {
    const { artifacts, steps } = byKind(level);
    const { postgres } = this.deps;
    const find = { projectId: this.projectId, limit: NODES_MAX };
    const users = await this.around(artifacts, 'input');
    const made = await this.within(steps, 'output');
    const ids = artifacts.map(({ id }) => id);
    const holding = await stored.modelsOfArtifacts(postgres, { ...find, ids });
    const taken = await stored.modelsOfSteps(postgres, { ...find, steps });
    const own = new Set(made.map(({ to }) => keyOf(to)));
    // what a step's own artifact leads to needs no second way
    const others = taken.filter(({ artifactId }) => !own.has(`artifact:${artifactId ?? ''}`));
    return [...users, ...made, ...holding.map(asRef).flatMap(heldBy), ...others.flatMap(takenOf)];
  }

  /** The steps that made or were given artifacts. */
  private async around(
    artifacts: readonly { readonly id: string }[],
    role: ArtifactRole,
  ): Promise<Link[]> {
    const ids = artifacts.map(({ id }) => id);
    const find = { projectId: this.projectId, role, ids, limit: NODES_MAX };
    return this.toLinks(ids.length === 0 ? [] : await stepsOfArtifacts(this.deps.postgres, find));
  }

  /** The artifacts that steps made or were given. */
  private async within(steps: readonly stored.Step[], role: ArtifactRole): Promise<Link[]> {
    const find = { projectId: this.projectId, role, steps, limit: NODES_MAX };
    return this.toLinks(steps.length === 0 ? [] : await artifactsOfSteps(this.deps.postgres, find));
  }

  private toLinks(rows: readonly StepArtifact[]): Link[] {
    this.isCut ||= rows.length === NODES_MAX;
    return rows.map((row) => {
      const step = stepRef(row);
      const artifact = { kind: 'artifact', id: row.artifactId } as const;
      const { name } = row;
      return row.role === 'output'
        ? { from: step, to: artifact, name }
        : { from: artifact, to: step, name };
    });
  }

  async describe(): Promise<Omit<Lineage, 'start'>> {
    const { artifacts, steps, models } = byKind([...this.refs.values()]);
    const ids = { artifactIds: artifacts.map(({ id }) => id), steps, models };
    const find = { projectId: this.projectId, ...ids };
    const described = await stored.describeNodes(this.deps.postgres, find);
    const byKey = new Map(described.map((node) => [`${node.kind}:${node.id}`, node]));
    const nodes = [...this.refs.keys()].flatMap((key) => byKey.get(key) ?? []);
    return { nodes, edges: [...this.edges.values()], isCut: this.isCut };
  }
}

function keyOf(ref: Ref): string {
  if (ref.kind === 'artifact') return `artifact:${ref.id}`;
  if (ref.kind === 'step') return `step:${ref.runId}/${ref.stepKey}`;
  return `model:${ref.model}/${ref.version}`;
}

function stepRef({ runId, stepKey }: stored.Step): Extract<Ref, { kind: 'step' }> {
  return { kind: 'step', runId, stepKey };
}
function asRef(model: stored.LineageModel): Extract<Ref, { kind: 'model' }> {
  return { kind: 'model', ...model };
}

/** A version and the artifact with its files. */
function heldBy(model: Extract<Ref, { kind: 'model' }>): (Link & { from: { id: string } })[] {
  const { artifactId: id } = model;
  return id === null ? [] : [{ from: { kind: 'artifact', id }, to: model, name: '' }];
}
/** A version and the step whose tracked run it was taken of. */
function takenOf(model: stored.LineageModel): Link[] {
  const { runId, stepKey } = model;
  if (runId === null || stepKey === null) return [];
  return [{ from: stepRef({ runId, stepKey }), to: asRef(model), name: '' }];
}

function byKind(refs: readonly Ref[]): {
  readonly artifacts: Extract<Ref, { kind: 'artifact' }>[];
  readonly steps: Extract<Ref, { kind: 'step' }>[];
  readonly models: Extract<Ref, { kind: 'model' }>[];
} {
  return {
    artifacts: refs.filter((ref) => ref.kind === 'artifact'),
    steps: refs.filter((ref) => ref.kind === 'step'),
    models: refs.filter((ref) => ref.kind === 'model'),
  };
}
