import { AppError } from '../errors/app-error';
import type { PlanUploads, UploadPlan } from '../schemas/artifacts';
import { objectKey } from '../storage/objects/keys';
import type { ObjectStore, PutOptions } from '../storage/objects/store';
import type { Postgres } from '../storage/postgres/client';
import { insertObjects, selectObjects } from '../storage/postgres/objects';

/** What the rules of objects, artifacts and named files need. */
export interface ObjectDeps {
  readonly postgres: Postgres;
  readonly objects: ObjectStore;
}
/** Time for a slow upload of one object; a leaked URL is worthless soon after. */
export const URL_SECONDS = 15 * 60;
/** Enough to hide the store's latency, few enough to leave its connections to others. */
const HEADS_AT_ONCE = 16;

/** Says which objects are missing and how to upload them. Only this project's bytes count. */
export async function planUploads(
  deps: ObjectDeps,
  input: PlanUploads & { readonly projectId: string },
): Promise<UploadPlan> {
  const { projectId } = input;
  const missing = await findMissing(deps, input);
  const uploads = missing.map(async ({ digest, sizeBytes }) => {
    const key = objectKey(projectId, digest);
    const right = { digest, sizeBytes, expiresSeconds: URL_SECONDS };
    const { url, headers } = await deps.objects.signPut(key, right);
    return { digest, url, headers: { ...headers } };
  });
  return { uploads: await Promise.all(uploads) };
}

interface OfProject {
  readonly projectId: string;
  readonly objects: readonly PutOptions[];
}

/** The objects that the project does not hold yet, each once; CONFLICT on a size that differs. */
async function findMissing(
  deps: Pick<ObjectDeps, 'postgres'>,
  { projectId, objects }: OfProject,
): Promise<PutOptions[]> {
  const wanted = new Map(objects.map((object) => [object.digest, object]));
  const rows = await selectObjects(deps.postgres, { projectId, digests: [...wanted.keys()] });
  const known = new Map(rows.map((row) => [row.digest, row.sizeBytes]));
  for (const { digest, sizeBytes } of objects) {
    const size = known.get(digest) ?? wanted.get(digest)?.sizeBytes;
    if (size !== sizeBytes) throw wrongSize(digest, { is: size, wanted: sizeBytes });
  }
  return [...wanted.values()].filter((object) => !known.has(object.digest));
}

function wrongSize(
  digest: string,
  size: { readonly is: number | undefined; readonly wanted: number },
): AppError {
  const what =
    size.is === undefined ? 'was not uploaded' : `has ${size.is} bytes, not ${size.wanted}`;
  return new AppError('CONFLICT', `The object ${digest} ${what}.`);
}

/**
 * Makes sure that the store holds each object with its size, and records those that are new. The
 * store let nothing in under a digest that is not its own; CONFLICT names the first that is missing.
 */
export async function recordObjects(deps: ObjectDeps, input: OfProject): Promise<void> {
  const { projectId } = input;
  const fresh = await findMissing(deps, input);
  for (let i = 0; i < fresh.length; i += HEADS_AT_ONCE) {
    const checks = fresh.slice(i, i + HEADS_AT_ONCE).map(async ({ digest, sizeBytes }) => {
      const is = await deps.objects.head(objectKey(projectId, digest));
      if (is !== sizeBytes) throw wrongSize(digest, { is, wanted: sizeBytes });
    });
    await Promise.all(checks);
  }
  if (fresh.length > 0) await insertObjects(deps.postgres, { projectId, objects: fresh });
}
