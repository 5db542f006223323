import { requireArgument } from '../errors/app-error';
import { MODEL_LIMITS } from '../schemas/registered-models';

/** Deep enough for every honest text; what still changes after it is an attack. */
const DECODE_ROUNDS_MAX = 10;
const SCHEMES = ['anneal:/artifacts/', 'mlflow-artifacts:/', 'runs:/', 'models:/'];

/**
 * INVALID_ARGUMENT unless the source is a reference into Anneal. No path of the server's disk and
 * no foreign address is ever taken: reading those on a client's word is how MLflow was broken into
 * (CVE-2023-1177, CVE-2024-1560, CVE-2026-2614).
 */
export function assertSource(source: string): void {
  const { sourceCharsMax: max } = MODEL_LIMITS;
  requireArgument(source.length <= max, `A model version's source has at most ${max} characters.`);
  requireArgument(
    SCHEMES.some((scheme) => source.startsWith(scheme) && source.length > scheme.length),
    `Invalid model version source: it must begin with one of ${SCHEMES.join(', ')}.`,
  );
  const decoded = decodeFully(source);
  requireArgument(decoded !== undefined, 'Invalid model version source: it is encoded too often.');
  const hasControl = /[\u0000-\u001f\u007f]/.test(decoded);
  const climbs = decoded.split(/[/\\;?#:]/).some((segment) => segment.trim() === '..');
  const message = "Invalid model version source: it holds '..' or control characters.";
  requireArgument(!hasControl && !climbs, message);
}

/** The artifact that a source `anneal:/artifacts/<id>` names; undefined for other schemes. */
export function artifactIdOf(source: string): string | undefined {
  if (!source.startsWith('anneal:')) return undefined;
  const id = /^anneal:\/artifacts\/([0-9a-f]{64})$/.exec(source)?.[1];
  requireArgument(id !== undefined, 'Invalid model version source: no artifact has such an id.');
  return id;
}

/** The folder that shows an artifact's files; no client may write outside a run's own folder. */
export function artifactFolder(artifactId: string): string {
  return `artifacts/${artifactId}`;
}

/**
 * Percent-decoded until nothing changes; undefined if that takes too long. A '%' that begins no
 * escape stays, and the rest is decoded all the same, as lenient readers do.
 */
function decodeFully(text: string): string | undefined {
  let current = text;
  for (let round = 0; round < DECODE_ROUNDS_MAX; round += 1) {
    const next = current.replace(/%[0-9a-f]{2}/gi, (escape) =>
      String.fromCharCode(Number.parseInt(escape.slice(1), 16)),
    );
    if (next === current) return current;
    current = next;
  }
  return undefined;
}
