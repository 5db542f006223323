import { z } from 'zod';

/** The commit that a project's folder stood at, and whether files in it differed from that. */
export const Git = z.strictObject({
  commit: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, 'must be the whole SHA of a commit'),
  isDirty: z.boolean(),
});
export type Git = z.infer<typeof Git>;
