import { beginPipelineRun } from '../../pipelines/pipeline-runs';
import { selectExperimentByName } from '../../storage/postgres/experiments';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function begin(runId: string): Promise<number | undefined> {
  await beginPipelineRun(database, { projectId, runId, plan: plan([step('a')]) });
  return (await selectExperimentByName(database.postgres, { projectId, name: 'test' }))?.id;
}

describe("the experiment of a pipeline's steps", () => {
  it('exists when the run begins, so that steps which start together need not make it', async () => {
    const first = await begin('run-1');
    expect(first).toEqual(expect.any(Number));
    expect(await begin('run-2')).toBe(first);
  });
});
