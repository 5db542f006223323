import { z } from 'zod';

/** The limits of the registry, those of MLflow's own server. */
export const MODEL_LIMITS = {
  nameCharsMax: 256,
  descriptionCharsMax: 5_000,
  tagKeyCharsMax: 250,
  tagValueCharsMax: 5_000,
  sourceCharsMax: 500,
  tagsPerRequestMax: 100, // one statement; more arrive by set-tag
} as const;

/** A tag of a model or a version; keys are unique within it. */
export const ModelTag = z.object({ key: z.string(), value: z.string() });
export type ModelTag = z.infer<typeof ModelTag>;

/** A name in the registry. `newestVersion` is null until the first version is registered. */
export const RegisteredModel = z.object({
  name: z.string(),
  description: z.string(),
  newestVersion: z.number().int().nullable(),
  tags: z.array(ModelTag), // by key
  aliases: z.array(z.object({ alias: z.string(), version: z.number().int() })), // by name
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type RegisteredModel = z.infer<typeof RegisteredModel>;
