import { z } from 'zod';
import { ModelTag } from './registered-models';

/**
 * One numbered version of a registered model; numbers start at 1 and have no gaps. `source` is a
 * reference (`anneal:/artifacts/<id>`, `mlflow-artifacts:/…`, `runs:/…`, `models:/…`), `artifactId`
 * what it named when the version was registered: its files, which never change.
 */
export const ModelVersion = z.object({
  model: z.string(),
  version: z.number().int(),
  source: z.string(),
  runId: z.string().nullable(),
  artifactId: z.string().nullable(),
  description: z.string(),
  tags: z.array(ModelTag), // by key
  aliases: z.array(z.string()), // by name
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type ModelVersion = z.infer<typeof ModelVersion>;
