import { join } from 'node:path';
import { loadPipeline } from '../../sdk/load-pipeline';

const example = join(__dirname, '../../examples/01-digits');

describe('pipelines in TypeScript', () => {
  it('compile to the same plan as the same pipeline in YAML', async () => {
    const typed = await loadPipeline(join(example, 'pipeline.ts'));
    expect(typed).toEqual(await loadPipeline(join(example, 'pipeline.yaml')));
  });
});
