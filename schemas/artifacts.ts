import { z } from 'zod';

export const Digest = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
/** One file of an artifact. `path` is relative, POSIX, without `..`; '' never occurs. */
export const ManifestEntry = z.strictObject({
  path: z.string().min(1).max(1000),
  digest: Digest,
  sizeBytes: z.number().int().min(0),
});
export type ManifestEntry = z.infer<typeof ManifestEntry>;
export const Manifest = z.array(ManifestEntry);
export type Manifest = z.infer<typeof Manifest>;

/** Body of POST /api/v1/objects/plan: which of these bytes are missing? */
export const PlanUploads = z.strictObject({
  objects: z
    .array(z.strictObject({ digest: Digest, sizeBytes: z.number().int().min(0) }))
    .max(10_000),
});
export type PlanUploads = z.infer<typeof PlanUploads>;
/** The objects to upload, each by PUT to `url` with exactly these headers; expires in 15 minutes. */
export const UploadPlan = z.object({
  uploads: z.array(
    z.object({ digest: Digest, url: z.string(), headers: z.record(z.string(), z.string()) }),
  ),
});
export type UploadPlan = z.infer<typeof UploadPlan>;
