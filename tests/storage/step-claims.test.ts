import fc from 'fast-check';
import { succeeded } from '../../pipelines/commits';
import { beginPipelineRun, finishPipelineRun } from '../../pipelines/pipeline-runs';
import type { StepStatus } from '../../schemas/pipeline-runs';
import { claimWork, releaseWork, type Claim } from '../../storage/postgres/step-claims';
import { findNewestReusable, noteContent, reuseOutputs } from '../../storage/postgres/step-content';
import { commitOutputs } from '../../storage/postgres/step-outputs';
import { recordTransitions } from '../../storage/postgres/transitions';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';

const projectId = 'default';
const stepKey = 'work';
let db: TestDatabase;
let count = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

/** A run with one step that waits. */
async function newRun(): Promise<string> {
  const runId = `run-${(count += 1)}`;
  await beginPipelineRun(db, { projectId, runId, plan: plan([step(stepKey, { cache: {} })]) });
  return runId;
}
function newRuns(many: number): Promise<string[]> {
  return Promise.all(Array.from({ length: many }, newRun));
}
function newKey(): string {
  return `key-${(count += 1)}`;
}
function claim(runId: string, contentKey: string, seconds = 60): Promise<Claim> {
  const wanted = { projectId, runId, stepKey, contentKey, seconds };
  return db.postgres.transaction((sql) => claimWork(sql, wanted));
}
async function end(runId: string, status: StepStatus): Promise<void> {
  const one = { ...succeeded({ projectId, runId, stepKey, attempt: 1 }), state: status, status };
  await recordTransitions(db.postgres, { projectId, runId, transitions: [one] });
}
/** Commits the step of a run with this content, so many seconds ago. */
async function commit(runId: string, contentKey: string, secondsAgo = 0): Promise<void> {
  const key = { projectId, runId, stepKey };
  const content = { key: contentKey, parts: {} };
  await noteContent(db.postgres, { ...key, content, note: 'no result' });
  await end(runId, 'succeeded');
  await commitOutputs(db.postgres, { ...key, outputs: { n: { value: runId } } });
  await db.postgres.query(
    'UPDATE steps SET ended_at = now() - make_interval(secs => $2) WHERE run_id = $1',
    [runId, secondsAgo],
  );
}
const isOurs = (one: Claim): boolean => one.isOurs;

describe('a claim', () => {
  it('is given to one of many that ask at once, and the others hear who has it', async () => {
    const runs = await newRuns(8);
    const keys = Array.from({ length: 12 }, newKey);
    for (const key of keys) {
      const claims = await Promise.all(runs.map((runId) => claim(runId, key)));
      const winner = runs[claims.findIndex(isOurs)];
      expect(claims.filter(isOurs)).toEqual([{ isOurs: true, before: undefined }]);
      for (const one of claims) {
        if (!one.isOurs) expect(one.holder).toMatchObject({ runId: winner, stepKey });
      }
    }
  });

  it('is given again to whoever has it', async () => {
    const [runId = ''] = await newRuns(1);
    const key = newKey();
    await claim(runId, key);
    expect(await claim(runId, key)).toEqual({ isOurs: true, before: undefined });
  });

  it.each<[string, StepStatus, (runId: string) => Promise<void>]>([
    ['step has failed', 'failed', (runId) => end(runId, 'failed')],
    ['step was skipped', 'skipped', (runId) => end(runId, 'skipped')],
    [
      'run has ended',
      'waiting',
      async (runId) => {
        await db.postgres.query('UPDATE pipeline_runs SET ended_at = now() WHERE id = $1', [runId]);
      },
    ],
  ])('is taken over by one when the %s', async (_, status, stop) => {
    const [first = '', ...others] = await newRuns(6);
    const key = newKey();
    await claim(first, key);
    await stop(first);
    const claims = await Promise.all(others.map((runId) => claim(runId, key)));
    expect(claims.filter(isOurs)).toEqual([
      { isOurs: true, before: expect.objectContaining({ runId: first, status }) as unknown },
    ]);
  });

  it('is taken over when its lease has run out, and not before', async () => {
    const [first = '', second = '', third = ''] = await newRuns(3);
    const key = newKey();
    await claim(first, key, 60);
    expect(isOurs(await claim(second, key))).toBe(false);
    await claim(first, key, -1);
    expect(isOurs(await claim(second, key))).toBe(true);
    expect(isOurs(await claim(third, key))).toBe(false);
  });

  it('goes with the step that gives it up and with the run that ends', async () => {
    const [first = '', second = '', third = ''] = await newRuns(3);
    const key = newKey();
    await claim(first, key);
    await releaseWork(db.postgres, { projectId, runId: first, stepKey });
    expect(await claim(second, key)).toEqual({ isOurs: true, before: undefined });
    await finishPipelineRun(db, { projectId, runId: second, status: 'failed' });
    expect(await claim(third, key)).toEqual({ isOurs: true, before: undefined });
    const of = 'SELECT run_id FROM step_claims WHERE content_key = $1';
    expect(await db.postgres.query(of, [key])).toEqual([{ run_id: third }]);
  });

  it('has one holder under way, whatever happens in which order', async () => {
    const action = fc.record({
      who: fc.integer({ min: 0, max: 4 }),
      what: fc.constantFrom('claim', 'claim', 'claim', 'fail', 'give up'),
    });
    const property = fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
      const runs = await newRuns(5);
      const key = newKey();
      const failed = new Set<string>();
      let holder: string | undefined;
      for (const { who, what } of actions) {
        const runId = runs[who] ?? '';
        if (failed.has(runId)) continue;
        if (what === 'claim') {
          expect(isOurs(await claim(runId, key))).toBe(holder === undefined || holder === runId);
          holder ??= runId;
          continue;
        }
        if (what === 'fail') await end(runId, 'failed');
        else await releaseWork(db.postgres, { projectId, runId, stepKey });
        if (what === 'fail') failed.add(runId);
        if (holder === runId) holder = undefined;
      }
    });
    await fc.assert(property, { numRuns: 25, seed: 7 });
  });
});

describe('the newest result', () => {
  const find = (contentKey: string, ttlSeconds: number | null): Promise<string | undefined> =>
    findNewestReusable(db.postgres, { projectId, contentKey, ttlSeconds }).then((r) => r?.runId);

  it('is that of the same content which did the work last, within its time to live', async () => {
    const [older = '', newer = '', other = ''] = await newRuns(3);
    const key = newKey();
    await commit(older, key, 3_600);
    await commit(newer, key, 600);
    await commit(other, newKey());
    expect(await find(key, null)).toBe(newer);
    expect(await find(key, 660)).toBe(newer);
    expect(await find(key, 540)).toBeUndefined();
    expect(await find(newKey(), null)).toBeUndefined();
  });

  it('is as old as the work: what was itself reused does not make it younger', async () => {
    const [first = '', second = ''] = await newRuns(2);
    const key = newKey();
    await commit(first, key, 600);
    await end(second, 'succeeded');
    await reuseOutputs(db.postgres, {
      ...{ projectId, runId: second, stepKey, note: 'same content' },
      content: { key, parts: {} },
      from: { runId: first, stepKey, outputs: {}, trackedRunId: null },
    });
    expect(await find(key, 540)).toBeUndefined();
    expect(await find(key, null)).toBe(first);
  });

  it('is never that of a step that failed, was cancelled or has not ended', async () => {
    const runs = await newRuns(3);
    const key = newKey();
    for (const runId of runs) {
      const content = { key, parts: {} };
      await noteContent(db.postgres, { projectId, runId, stepKey, content, note: 'no result' });
      await commitOutputs(db.postgres, { projectId, runId, stepKey, outputs: {} });
    }
    await end(runs[0] ?? '', 'failed');
    await end(runs[1] ?? '', 'cancelled');
    expect(await find(key, null)).toBeUndefined();
  });

  it('stays inside its project', async () => {
    const [runId = ''] = await newRuns(1);
    const key = newKey();
    await commit(runId, key);
    const other = { projectId: 'other', contentKey: key, ttlSeconds: null };
    expect(await findNewestReusable(db.postgres, other)).toBeUndefined();
  });
});
