import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createReadPipeline, type ReadPipeline } from '../../pipelines/fragments';
import type { OutputValue } from '../../schemas/plan';
import { compileWritten } from '../../sdk/pipeline-yaml';
import { openDirectoryStore } from '../../storage/objects/directory';
import { objectKey } from '../../storage/objects/keys';
import type { Postgres } from '../../storage/postgres/client';
import { commitArtifact } from '../../tracker/artifacts';

/** Files that steps of a test leave behind, in a folder, and the reader of the control worker. */
export interface WrittenPipelines {
  readonly readPipeline: ReadPipeline;
  /** Commits one file, or several, as an output of kind `pipeline`. */
  write(...texts: (string | Buffer)[]): Promise<OutputValue>;
  close(): void;
}

export function openWrittenPipelines(postgres: Postgres): WrittenPipelines {
  const root = mkdtempSync(join(tmpdir(), 'anneal-written-'));
  const objects = openDirectoryStore({ root, baseUrl: '', signingKey: '' });
  return {
    readPipeline: createReadPipeline({ postgres, objects, compile: compileWritten }),
    async write(...texts) {
      const projectId = 'default';
      const manifest = await Promise.all(
        texts.map(async (text, i) => {
          const bytes = Buffer.from(text);
          const digest = createHash('sha256').update(bytes).digest('hex');
          const size = { digest, sizeBytes: bytes.length };
          await objects.put(objectKey(projectId, digest), Readable.from([bytes]), size);
          return { path: `plan${i}.yaml`, ...size };
        }),
      );
      const kind = 'pipeline';
      const deps = { postgres, objects };
      return { artifact: await commitArtifact(deps, { projectId, kind, manifest }), kind };
    },
    close() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
