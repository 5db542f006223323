import { z } from 'zod';
import { datasetOf } from '../dag/trigger-text';
import { paramsOfDataset, paramsOfModel, type TriggerParams } from '../dag/trigger-params';
import type { Triggers } from '../schemas/triggers';
import type { EventSubject } from '../storage/postgres/event-triggers';
import type { OutboxEvent } from '../storage/postgres/outbox';

/** What has happened to a model or a dataset, as deployed pipelines hear of it. */
export interface RegistryEvent extends EventSubject {
  readonly what: 'version' | 'alias' | 'dataset';
  /** `digits v3`, `digits@champion v3`, `churn/prepare/table of run ID`. */
  readonly says: string;
  /** What stands under `event` in expressions, besides `run`. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly artifactId: string | undefined; // of a dataset
  /** The pipeline run that did it; or the tracked run that a model version was made in. */
  readonly runId: string | undefined;
  readonly trackedRunId: string | undefined;
}

const Version = z.object({
  model: z.string(),
  version: z.number(),
  actor: z.string().default(''),
  trackedRunId: z.string().nullable().default(null),
});
const Alias = z.object({
  model: z.string(),
  alias: z.string(),
  from: z.number().nullable(),
  to: z.number().nullable(), // null: it was removed, which starts nothing
  actor: z.string().default(''),
});
const Dataset = z.object({
  pipeline: z.string(),
  runId: z.string(),
  step: z.string(),
  output: z.string(),
  artifact: z.string(),
});

const READERS: Readonly<Record<string, (body: unknown) => RegistryEvent | undefined>> = {
  'model_version.created': (body) => {
    const { model, version, actor, trackedRunId } = Version.parse(body);
    return {
      ...{ kind: 'model', subject: model, what: 'version', says: `${model} v${version}` },
      fields: { model, version },
      ...{ artifactId: undefined, runId: runOf(actor), trackedRunId: trackedRunId ?? undefined },
    };
  },
  'model_alias.changed': (body) => {
    const { model, alias, from, to, actor } = Alias.parse(body);
    if (to === null) return undefined;
    return {
      ...{ kind: 'model', subject: model, what: 'alias', says: `${model}@${alias} v${to}` },
      fields: { model, alias, version: to, previous: from },
      ...{ artifactId: undefined, runId: runOf(actor), trackedRunId: undefined },
    };
  },
  'dataset.committed': (body) => {
    const { runId, artifact, ...of } = Dataset.parse(body);
    const subject = datasetOf(of);
    return {
      ...{ kind: 'dataset', subject, what: 'dataset', says: `${subject} of run ${runId}` },
      fields: { ...of, artifact },
      ...{ artifactId: artifact, runId, trackedRunId: undefined },
    };
  },
};
/** The topics of the outbox that deployed pipelines can listen to; others are left to their readers. */
export const EVENT_TOPICS = Object.keys(READERS);

/** Built-in steps write to the registry under the name of their run. */
function runOf(actor: string): string | undefined {
  return /^pipeline-run\/(.+)$/.exec(actor)?.[1];
}

/** What an event of the outbox says; undefined if it is nothing that could start a run. */
export function readEvent({ topic, body }: OutboxEvent): RegistryEvent | undefined {
  return READERS[topic]?.(body);
}

/** The things that a pipeline with these triggers listens to. */
export function subjectsOf({ models = [], datasets = [] }: Triggers): EventSubject[] {
  return [
    ...models.map(({ name }) => ({ kind: 'model' as const, subject: name })),
    ...datasets.map((dataset) => ({ kind: 'dataset' as const, subject: datasetOf(dataset) })),
  ];
}

/** The first trigger that an event fits, with the params that it gives; undefined if none does. */
export function triggerFor(
  { models = [], datasets = [] }: Triggers,
  event: RegistryEvent,
): TriggerParams | undefined {
  const { what, subject, fields } = event;
  if (what === 'dataset') {
    const at = datasets.findIndex((dataset) => datasetOf(dataset) === subject);
    const dataset = datasets[at];
    return dataset && paramsOfDataset(dataset, at);
  }
  const at = models.findIndex(
    (model) =>
      model.name === subject &&
      model.event === what &&
      (model.alias === undefined || model.alias === fields['alias']),
  );
  const model = models[at];
  return model && paramsOfModel(model, at);
}
