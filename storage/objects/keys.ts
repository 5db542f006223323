/** The only place that knows how objects are named. */
export function objectKey(projectId: string, digest: string): string {
  return `${projectId}/cas/sha256/${digest.slice(0, 2)}/${digest.slice(2, 4)}/${digest}`;
}
