import { AppError } from '../../errors/app-error';

/** No dots and no empty part: joined to a folder, a key cannot leave it. */
const KEY = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/;

/** The only place that knows how objects are named. */
export function objectKey(projectId: string, digest: string): string {
  return `${projectId}/cas/sha256/${digest.slice(0, 2)}/${digest.slice(2, 4)}/${digest}`;
}

/** The key itself, or INVALID_ARGUMENT if it is none of ours. */
export function checkKey(key: string): string {
  if (!KEY.test(key)) throw new AppError('INVALID_ARGUMENT', 'The key of the object is not valid.');
  return key;
}
