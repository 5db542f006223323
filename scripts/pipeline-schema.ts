import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipelineJsonSchema } from '../sdk/pipeline-schema';

/** docs/pipeline.schema.json as text. Run this file to write it. */
export function renderPipelineSchema(): string {
  return `${JSON.stringify(pipelineJsonSchema(), null, 2)}\n`;
}

if (require.main === module) {
  writeFileSync(join('docs', 'pipeline.schema.json'), renderPipelineSchema());
}
