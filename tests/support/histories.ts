import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { pipelineRunWorkflowId } from '../../workflows/contract';
import { listSteps } from '../../pipelines/step-reasons';
import { plan, step } from './plans';
import { until } from './step-lab';
import { stepFailure, untilAborted, type WorkflowLab } from './workflow-lab';

/** Histories of finished runs, one per shape; never edited, only added to by `npm run histories`. */
const FOLDER = join(__dirname, '..', 'replay', 'histories');

/** What the tests read of an event. */
export interface HistoryEvent {
  readonly workflowTaskCompletedEventAttributes?: {
    readonly sdkMetadata?: { readonly coreUsedFlags?: readonly number[] };
  };
  readonly activityTaskScheduledEventAttributes?: { activityId: string };
  readonly activityTaskCompletedEventAttributes?: {
    readonly result: { readonly payloads: { data: string }[] };
  };
}
export interface RecordedHistory {
  readonly events: readonly HistoryEvent[];
}

/** Every recorded history by the name of its shape. */
export function readHistories(): Record<string, RecordedHistory> {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.json'));
  return Object.fromEntries(
    files.map((file) => [
      file.replace('.json', ''),
      JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as RecordedHistory,
    ]),
  );
}

/** Runs each shape on the lab and writes its history. */
export async function recordHistories(lab: WorkflowLab): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  for (const [shape, run] of Object.entries(SHAPES)) {
    const runId = await run(lab);
    const handle = lab.env.client.workflow.getHandle(pipelineRunWorkflowId(runId));
    const history: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()));
    writeFileSync(join(FOLDER, `${shape}.json`), `${JSON.stringify(withoutMachine(history))}\n`);
  }
}

/** Replay needs neither who ran it nor where its files lay. */
function withoutMachine(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMachine);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      if (key === 'stackTrace') return [key, ''];
      if (key === 'identity') return [key, 'recorder'];
      return [key, withoutMachine(item)];
    }),
  );
}

type Asked =
  | { readonly action: 'pause' | 'continue' }
  | { readonly action: 'skip' | 'retry'; readonly stepKey: string };

async function statusOf(lab: WorkflowLab, runId: string, key: string): Promise<string | undefined> {
  const steps = await listSteps(lab.database, { projectId: 'default', runId });
  return steps.find((one) => one.key === key)?.status;
}

type Shape = (lab: WorkflowLab) => Promise<string>;

const SHAPES: Readonly<Record<string, Shape>> = {
  chain: async (lab) => {
    lab.bodies = {};
    const steps = [step('a'), step('b', { after: ['a'] }), step('c', { after: ['b'] })];
    return (await lab.run(plan(steps))).runId;
  },
  diamond: async (lab) => {
    lab.bodies = {};
    const steps = [
      step('top'),
      step('left', { after: ['top'] }),
      step('right', { after: ['top'] }),
      step('join', { after: ['left', 'right'] }),
    ];
    return (await lab.run(plan(steps))).runId;
  },
  foreach: async (lab) => {
    lab.bodies = { train: () => Promise.resolve({ auc: { value: 0.9 } }) };
    const train = step('train', {
      foreach: { seed: 'params.seeds' },
      parallel: 4,
      outputs: { auc: { metric: 'auc', pick: 'last' } },
    });
    const many = plan([train, step('report', { after: ['train'] })], { seeds: { type: 'list' } });
    return (await lab.run(many, { seeds: [...Array(20).keys()] })).runId;
  },
  conditional: async (lab) => {
    lab.bodies = { score: () => Promise.resolve({ auc: { value: 0.4 } }) };
    const steps = [
      step('score', { outputs: { auc: { metric: 'auc', pick: 'last' } } }),
      step('good', { if: 'steps.score.outputs.auc > 0.8' }),
      step('after-good', { after: ['good'] }),
    ];
    return (await lab.run(plan(steps))).runId;
  },
  retries: async (lab) => {
    lab.bodies = {
      train: ({ attempt }) => {
        if (attempt === 1) return Promise.reject(stepFailure('preempted', 'spot notice'));
        if (attempt === 2) return Promise.reject(stepFailure('crash', 'exit code 1'));
        return Promise.resolve({});
      },
      lost: () => Promise.reject(stepFailure('data', 'no rows')),
    };
    const train = step('train', { retry: { max: 1, on: ['crash'] } });
    return (await lab.run(plan([train, step('lost'), step('use', { after: ['lost'] })]))).runId;
  },
  'late-foreach': async (lab) => {
    lab.bodies = { list: () => Promise.resolve({ items: { value: [1, 2, 3] } }) };
    const list = step('list', { outputs: { items: { value: true } } });
    const each = step('each', { foreach: { i: 'steps.list.outputs.items' }, parallel: 2 });
    return (await lab.run(plan([list, each, step('last', { after: ['each'] })]))).runId;
  },
  steered: async (lab) => {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    let isBroken = true;
    lab.bodies = {
      long: () => opened.then(() => ({})),
      flaky: () => {
        if (isBroken) return Promise.reject(stepFailure('data', 'no rows'));
        return Promise.resolve({});
      },
    };
    const steps = [step('long'), step('flaky'), step('use', { after: ['flaky'] }), step('other')];
    const { runId, result } = await lab.start({ plan: plan(steps) });
    const control = (asked: Asked): Promise<unknown> =>
      lab.starter.controlPipelineRun(runId, { ...asked, actor: 'ada', reason: '' });
    await control({ action: 'pause' });
    await control({ action: 'continue' });
    await until(async () => (await statusOf(lab, runId, 'use')) === 'skipped');
    isBroken = false;
    await control({ action: 'retry', stepKey: 'flaky' });
    await until(async () => (await statusOf(lab, runId, 'use')) === 'succeeded');
    await control({ action: 'skip', stepKey: 'long' });
    open();
    await result();
    return runId;
  },
  cancelled: async (lab) => {
    const begun = new Promise<void>((resolve) => {
      lab.bodies = {
        a: async (_input, signal) => {
          resolve();
          await untilAborted(signal);
          throw stepFailure('preempted', 'stopped');
        },
      };
    });
    const started = await lab.start({ plan: plan([step('a'), step('b', { after: ['a'] })]) });
    await begun;
    await started.cancel();
    await started.result();
    return started.runId;
  },
};

/** The shapes that have a history. */
export const SHAPE_NAMES: readonly string[] = Object.keys(SHAPES);
