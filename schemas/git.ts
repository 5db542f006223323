import { z } from 'zod';

/** Of a patch; who changes more has the code bundle to look at. */
export const PATCH_BYTES_MAX = 1024 * 1024;

/** The commit that a project's folder stood at, and whether files in it differed from that. */
export const Git = z.strictObject({
  commit: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, 'must be the whole SHA of a commit'),
  isDirty: z.boolean(),
  /** SHA-256 of the object that holds what differed as a patch (`git diff`), if it was sent. */
  patchDigest: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256')
    .optional(),
});
export type Git = z.infer<typeof Git>;
