import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { pipelineRunWorkflowId, segmentWorkflowId } from '../../workflows/contract';
import { subPipeline } from '../graphs/choices';
import { dynamic } from '../graphs/written';
import { listSteps } from '../../pipelines/step-reasons';
import { plan, step } from './plans';
import { until } from './step-lab';
import { stepFailure, untilAborted, type WorkflowLab } from './workflow-lab';

/** Histories of finished workflows, by shape; never edited, only added to by `npm run histories`. */
const FOLDER = join(__dirname, '..', 'replay', 'histories');

/** What the tests read of an event. */
export interface HistoryEvent {
  readonly workflowExecutionStartedEventAttributes?: { readonly workflowId?: string };
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

/** Runs each shape that has no history on the lab, and writes its history and those of its parts. */
export async function recordHistories(lab: WorkflowLab): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const there = Object.keys(readHistories());
  for (const [shape, run] of Object.entries(SHAPES)) {
    if (there.includes(shape)) continue;
    const runId = await run(lab);
    await record(lab, pipelineRunWorkflowId(runId), shape);
    for (let part = 0; part < (PARTS[shape] ?? 0); part += 1) {
      await record(lab, segmentWorkflowId(runId, part), `${shape}-part-${part + 1}`);
    }
  }
}

async function record(lab: WorkflowLab, workflowId: string, name: string): Promise<void> {
  const handle = lab.env.client.workflow.getHandle(workflowId);
  const history: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()));
  writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(withoutMachine(history))}\n`);
}

/** The id under which a history was recorded: ids of parts are made of it. */
export function workflowIdOf({ events }: RecordedHistory): string | undefined {
  const started = events.find((event) => event.workflowExecutionStartedEventAttributes);
  return started?.workflowExecutionStartedEventAttributes?.workflowId;
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
  parts: async (lab) => {
    lab.bodies = {};
    const nothing = { uses: 'builtin/nothing' } as const;
    const many = Array.from({ length: 420 }, (_, i) =>
      step(`n${i}`, { ...nothing, after: [i % 10 === 0 ? 'first' : `n${i - 1}`] }),
    );
    const ends = Array.from({ length: 42 }, (_, i) => `n${10 * i + 9}`);
    const last = step('last', { ...nothing, after: ends });
    return (await lab.run(plan([step('first'), ...many, last]))).runId;
  },
  handlers: async (lab) => {
    lab.bodies = { train: () => Promise.reject(stepFailure('data', 'no rows')) };
    const handled = {
      ...plan([step('train')]),
      onSuccess: [step('tell')],
      onFailure: [step('warn')],
      always: [step('clean')],
    };
    return (await lab.run(handled)).runId;
  },
  'sub-pipeline': async (lab) => {
    const shape = subPipeline();
    lab.bodies = Object.fromEntries(
      Object.entries(shape.behaviours ?? {}).map(([key, { outputs = {} }]) => [
        key,
        () => Promise.resolve(outputs),
      ]),
    );
    return (await lab.run(shape.plan)).runId;
  },
  dynamic: async (lab) => {
    const shape = dynamic();
    lab.bodies = Object.fromEntries(
      Object.entries(shape.behaviours ?? {}).map(
        ([key, { outputs = {}, failures = [], writes }]) => [
          key,
          async ({ attempt }) => {
            const failure = failures[attempt - 1];
            if (failure !== undefined) throw stepFailure(failure, 'as told');
            return writes === undefined ? outputs : { plan: await lab.written.write(writes) };
          },
        ],
      ),
    );
    return (await lab.run(shape.plan)).runId;
  },
};

/** How many workflows carry out a shape that is too large for one. */
const PARTS: Readonly<Record<string, number>> = { parts: 2 };

/** Everything that has a history: the shapes, and the parts of large ones. */
export const SHAPE_NAMES: readonly string[] = Object.keys(SHAPES).flatMap((shape) => [
  shape,
  ...Array.from({ length: PARTS[shape] ?? 0 }, (_, i) => `${shape}-part-${i + 1}`),
]);
