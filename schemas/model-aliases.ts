import { z } from 'zod';

/** One change of an alias, as it happened. A null version means that the alias was not set. */
export const AliasChange = z.object({
  alias: z.string(),
  revision: z.number().int(),
  oldVersion: z.number().int().nullable(),
  newVersion: z.number().int().nullable(),
  actor: z.string(),
  reason: z.string(),
  at: z.iso.datetime(),
});
export type AliasChange = z.infer<typeof AliasChange>;

/**
 * Body of PUT /api/v1/models/:name/aliases/:alias. `version` null removes the alias;
 * `expectedVersion` (null: not set) makes the change fail with CONFLICT if another came first.
 */
export const SetAlias = z.strictObject({
  version: z.number().int().min(1).nullable(),
  expectedVersion: z.number().int().min(1).nullable().optional(),
  reason: z.string().max(1000).default(''),
  idempotencyKey: z.string().min(1).max(200).optional(),
});
export type SetAlias = z.infer<typeof SetAlias>;
