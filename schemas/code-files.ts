import { z } from 'zod';
import { Digest } from './artifacts';
import { isStorable } from './storable';

/** As many as a code bundle may hold. */
export const CODE_FILES_MAX = 20_000;

/** Body of POST /api/v1/code-files: path → SHA-256 of every file in a code bundle. */
export const SaveCodeFiles = z.strictObject({
  codeDigest: Digest,
  files: z
    .record(z.string().min(1).max(4_096).refine(isStorable), Digest)
    .refine((files) => Object.keys(files).length <= CODE_FILES_MAX, {
      error: `must be at most ${CODE_FILES_MAX} files`,
    }),
});
export type SaveCodeFiles = z.infer<typeof SaveCodeFiles>;
