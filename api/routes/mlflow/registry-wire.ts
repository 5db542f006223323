import type { ModelVersion } from '../../../schemas/model-versions';
import type { RegisteredModel } from '../../../schemas/registered-models';
import type { FieldTable } from './wire';

/** A tag as it arrives. */
export const TAG_TABLE = {
  key: { type: 'string', required: true },
  value: { type: 'string' },
} as const satisfies FieldTable;

/** Tags as our rules take them: an unset value is the empty text. */
export function readTags(
  tags: readonly { readonly key: string; readonly value: string | undefined }[] | undefined,
): { key: string; value: string }[] {
  return (tags ?? []).map(({ key, value = '' }) => ({ key, value }));
}

/** A model as MLflow writes it; `newest` fills latest_versions, for we have no stages but one. */
export function writeModel(model: RegisteredModel, newest: ModelVersion | undefined): object {
  return {
    name: model.name,
    creation_timestamp: Date.parse(model.createdAt),
    last_updated_timestamp: Date.parse(model.updatedAt),
    description: model.description === '' ? undefined : model.description,
    latest_versions: newest === undefined ? [] : [writeVersion(newest)],
    tags: model.tags,
    aliases: model.aliases.map(({ alias, version }) => ({ alias, version: String(version) })),
  };
}

/** A version as MLflow writes it: its number is a text there. */
export function writeVersion(version: ModelVersion): object {
  return {
    name: version.model,
    version: String(version.version),
    creation_timestamp: Date.parse(version.createdAt),
    last_updated_timestamp: Date.parse(version.updatedAt),
    current_stage: 'None',
    description: version.description === '' ? undefined : version.description,
    source: version.source,
    run_id: version.runId ?? undefined,
    status: 'READY',
    tags: version.tags,
    aliases: version.aliases,
  };
}
