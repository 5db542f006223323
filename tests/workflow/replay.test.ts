import { createRequire } from 'node:module';
import { DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import {
  readHistories,
  recordHistories,
  SHAPE_NAMES,
  workflowIdOf,
  type RecordedHistory,
} from '../support/histories';
import { openWorkflowLab } from '../support/workflow-lab';

/**
 * Recorded histories must replay on the workflows of today: a run that is under way while Anneal is
 * upgraded goes on. A change that breaks one needs `patched`, not a new recording.
 */
let options: Parameters<typeof Worker.runReplayHistory>[0];
beforeAll(async () => {
  if (process.env['ANNEAL_RECORD_HISTORIES'] !== undefined) {
    const lab = await openWorkflowLab();
    await recordHistories(lab);
    await lab.close();
  }
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: require.resolve('../../workflows'),
    logger: new DefaultLogger('ERROR'),
  });
  options = { workflowBundle };
});

async function replay(history: RecordedHistory): Promise<string> {
  try {
    await Worker.runReplayHistory(options, history, workflowIdOf(history));
    return 'same';
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}
function copyOf(name: string): RecordedHistory {
  const history = readHistories()[name];
  if (history === undefined) throw new Error(`no history ${name}`);
  return structuredClone(history);
}

describe('replay', () => {
  it('has a history of every shape', () => {
    expect(Object.keys(readHistories())).toEqual(expect.arrayContaining(SHAPE_NAMES));
  });

  it.each(SHAPE_NAMES)('accepts the history of %s', async (shape) => {
    expect(await replay(copyOf(shape))).toBe('same');
  });

  it('checks ids, because every history says that it was recorded with that check', () => {
    for (const history of Object.values(readHistories())) {
      const completed = history.events.find(
        (event) => event.workflowTaskCompletedEventAttributes !== undefined,
      );
      const flags = completed?.workflowTaskCompletedEventAttributes?.sdkMetadata?.coreUsedFlags;
      expect(flags).toContain(1); // IdAndTypeDeterminismChecks
    }
  });

  it('refuses a history with another activity', async () => {
    const history = copyOf('chain');
    const scheduled = history.events.find(
      (event) => event.activityTaskScheduledEventAttributes?.activityId === 'b#1',
    );
    const attributes = scheduled?.activityTaskScheduledEventAttributes;
    if (attributes === undefined) throw new Error('the chain has no b#1');
    attributes.activityId = 'x#1';
    expect(await replay(history)).toBe('DeterminismViolationError');
  });

  it('refuses a graph that differs from the one that was run', async () => {
    const history = copyOf('chain');
    // the first activity is beginRun, its result the graph
    const begun = history.events.find(
      (event) => event.activityTaskCompletedEventAttributes !== undefined,
    );
    const payload = begun?.activityTaskCompletedEventAttributes?.result.payloads[0];
    if (payload === undefined) throw new Error('beginRun has no result');
    const graph = Buffer.from(payload.data, 'base64').toString();
    expect(graph).toContain('"key":"b"');
    payload.data = Buffer.from(graph.replace('"key":"b"', '"key":"x"')).toString('base64');
    expect(await replay(history)).toBe('DeterminismViolationError');
  });
});

describe('protobufjs', () => {
  it('is one copy for every @temporalio package, or histories in JSON cannot be read', () => {
    const here = createRequire(__filename);
    const copies = ['proto', 'common', 'client', 'worker'].map((name) =>
      createRequire(here.resolve(`@temporalio/${name}`)).resolve('protobufjs'),
    );
    expect(new Set(copies).size).toBe(1);
    const { version } = here('protobufjs/package.json') as { version: string };
    expect(version).toMatch(/^8\./);
  });
});
