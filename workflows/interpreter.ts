import {
  allHandlersFinished,
  CancellationScope,
  condition,
  setCurrentDetails,
  setHandler,
  defineSignal,
  workflowInfo,
} from '@temporalio/workflow';
import { bringSettings } from '../dag/brought-settings';
import { ReadyQueue } from '../dag/ready-queue';
import type { EndedNode, GraphNode, NodeSettings, Segment } from '../schemas/graph';
import {
  NODES_ENDED_SIGNAL,
  type CarriedState,
  type ControlRun,
  type ExpandedNode,
  type SegmentResult,
  type SpentBudget,
} from './contract';
import { runStep, type StepContext, type StepEnd, type Stopped } from './run-step';
import { StepControls } from './step-controls';
import { TellLog } from './tell-log';
import { TransitionLog } from './transition-log';
import { Waits } from './waits';

/** After SIGKILL at the end of the grace a worker reports within seconds; then nobody waits on. */
const STOP_MARGIN_SECONDS = 60;
/** From here on nothing new starts: when all that runs has ended, a new history begins. */
const HISTORY_EVENTS_MAX = 3_000; // Temporal suggests a new one at 4,096
const FAILED_MAX = 10;

export interface InterpretedRun {
  readonly projectId: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly priority: number;
}
/** The whole segment has ended, or it must go on in a new history. */
export type Interpreted =
  | { readonly isDone: true; readonly result: SegmentResult }
  | { readonly isDone: false; readonly carried: CarriedState };

/** Interprets one segment: starts what is ready, hears what ended, writes what nobody else writes. */
export class Interpreter {
  private readonly context: StepContext;
  private readonly run: InterpretedRun;
  private readonly segment: Segment;
  private readonly settings: NodeSettings[]; // grows with what steps of the run have written
  private readonly queue: ReadyQueue;
  private readonly tells: TellLog;
  private readonly steps = new CancellationScope(); // every attempt runs in it
  private readonly ended: StepEnd[] = []; // not settled yet
  private readonly heard: EndedNode[] = []; // of other segments
  private readonly expanded: ExpandedNode[] = [];
  private readonly attempts = new Map<string, number>(); // the last one of steps that failed
  private readonly controls: StepControls;
  private readonly spent = new Map<string, SpentBudget>(); // of held steps
  private readonly waits = new Waits(() => (this.isPoked = true));
  private isCancelled = false;
  private isPoked = false; // somebody has changed something
  private priority: number;

  constructor(run: InterpretedRun, segment: Segment, carried?: CarriedState) {
    this.run = run;
    this.segment = segment;
    this.settings = [...segment.settings];
    const { waits } = this;
    this.context = { ...run, log: new TransitionLog(run), priority: () => this.priority, waits };
    this.priority = carried?.priority ?? run.priority;
    this.queue = new ReadyQueue({ ...segment, settings: this.settings });
    this.tells = new TellLog(run.runId, segment.tells);
    this.controls = new StepControls({
      queue: this.queue,
      log: this.context.log,
      settle: (key, end, reason) => {
        this.settle(key, end, reason);
      },
      hasRow: (node) => this.hasRow(node),
      attemptOf: (key) => this.attempts.get(key) ?? 0,
    });
    for (const expanded of carried?.expanded ?? []) this.expand(expanded);
    for (const { key, end, reason } of carried?.ended ?? []) {
      for (const { key: told } of this.queue.settle(key, end, reason)) this.tell(told);
    }
    this.tells.forget(); // told before
    this.waits.isPaused = carried?.isPaused ?? false;
    for (const [key, attempt] of carried?.attempts ?? []) this.attempts.set(key, attempt);
    for (const [key, spent] of carried?.spent ?? []) this.spent.set(key, spent);
    setHandler(defineSignal<[EndedNode[]]>(NODES_ENDED_SIGNAL), (nodes) => {
      this.heard.push(...nodes);
    });
  }

  /** Stops all steps; `interpret` ends when they have had their grace. */
  cancel(): void {
    this.isCancelled = true;
    this.steps.cancel();
  }

  /** Does what somebody asks for; says in words why it cannot be done. */
  control(control: ControlRun): string | undefined {
    this.isPoked = true;
    switch (control.action) {
      case 'pause':
      case 'continue':
        this.waits.isPaused = control.action === 'pause';
        return undefined;
      case 'priority':
        this.priority = control.priority; // of attempts that are not in a queue yet
        return undefined;
      case 'deadline':
        return undefined;
      case 'skip':
      case 'retry':
        return this.controls.control(control);
    }
  }

  async interpret(): Promise<Interpreted> {
    const { log } = this.context;
    while (!this.queue.done && !this.isCancelled) {
      const isFull = workflowInfo().historyLength > HISTORY_EVENTS_MAX;
      // a row that shows an end takes no news of attempts before it is open again
      this.controls.isReopening &&= !log.isEmpty;
      if (!this.waits.isPaused && !isFull && !this.controls.isReopening) this.startReady();
      log.flush();
      this.tells.flush();
      this.showProgress('running');
      const isAtRest = isFull && this.waits.haveAll(this.queue.runningKeys);
      const carried = isAtRest ? await this.carry() : undefined;
      if (carried !== undefined) return { isDone: false, carried };
      await condition(() => this.hasNews());
      this.isPoked = false;
      // what waits for a cancelled step is cancelled with it, not blocked by it: see stopSteps
      if (!this.steps.consideredCancelled) this.takeNews();
    }
    if (this.isCancelled) await this.stopSteps();
    await Promise.all([log.drain(), this.tells.drain()]);
    // a cancel that came after the last step has cancelled nothing
    const isCancelled = this.queue.ended.some(({ end }) => end === 'cancelled');
    this.showProgress(isCancelled ? 'cancelled' : 'ended');
    const failed = this.queue.failed.slice(0, FAILED_MAX);
    return { isDone: true, result: { isCancelled, failed } };
  }

  private hasNews(): boolean {
    const { ended, heard, tells, isCancelled, isPoked } = this;
    const arrived = ended.length > 0 || heard.length > 0 || isCancelled || isPoked;
    const { log } = this.context;
    const isOpenAgain = this.controls.isReopening && log.isEmpty;
    return arrived || isOpenAgain || tells.canFlush || log.canFlush;
  }

  private takeNews(): void {
    for (const { key, end, reason } of this.heard.splice(0)) this.settle(key, end, reason);
    for (const ended of this.ended.splice(0)) {
      this.controls.ended(ended.key);
      if (ended.end === 'expanded') this.expand(ended);
      else if (ended.end === 'succeeded') this.settle(ended.key, ended.end);
      else if (ended.end === 'held') this.putBack(ended);
      else {
        this.attempts.set(ended.key, ended.attempt);
        this.settle(ended.key, ended.end, ended.reason);
      }
    }
  }

  /** A pause holds the next attempt of a step: it is ready again, and nothing of it has failed. */
  private putBack({ key, attempt, spent }: StepEnd & { readonly end: 'held' }): void {
    this.attempts.set(key, attempt);
    this.spent.set(key, spent);
    const skipped = this.controls.whySkipped(key); // somebody was quicker than this news
    if (skipped === undefined) this.follow(this.queue.putBack(key, attempt > 0), '');
    else {
      this.context.log.add({ stepKey: key, attempt, state: 'skipped', reason: skipped });
      this.settle(key, 'skipped', skipped);
    }
  }

  private startReady(): void {
    for (const node of this.queue.take()) {
      void this.steps.run(() => this.start(node)).then((end) => this.ended.push(end));
    }
  }

  private async start(node: GraphNode): Promise<StepEnd> {
    const { key } = node;
    const settings = this.settings[node.settings];
    if (settings === undefined) throw new Error(`no settings of ${key}`);
    const attempts = this.attempts.get(key) ?? 0;
    const spent = this.spent.get(key);
    this.spent.delete(key);
    const whyStopped = (): Stopped => this.controls.whyStopped(key);
    const scope = new CancellationScope();
    this.controls.begun(key, scope);
    try {
      return await scope.run(() =>
        runStep(this.context, { node, settings, attempts, spent, whyStopped }),
      );
    } catch (error) {
      const attempt = attempts;
      if (scope.consideredCancelled) return { key, ...whyStopped(), attempt };
      const reason = error instanceof Error ? error.message : String(error);
      return { key, end: 'failed', reason, attempt };
    }
  }

  /** Settles a node and writes what nobody else knows: what ended with it, without running. */
  private settle(key: string, end: EndedNode['end'], reason?: string): void {
    this.follow(this.queue.settle(key, end, reason), key);
  }

  private expand({ key, items, groups, settings }: ExpandedNode): void {
    this.expanded.push({ key, items, groups, ...(settings !== undefined && { settings }) });
    const nodes = settings === undefined ? items : bringSettings(this.settings, items, settings);
    this.follow(this.queue.expand(key, nodes, groups), '');
  }

  private follow(ended: readonly EndedNode[], cause: string): void {
    for (const { key, end, reason } of ended) {
      this.tell(key);
      const node = this.queue.nodeOf(key);
      if (key === cause || node === undefined || !this.hasRow(node)) continue;
      const state = end === 'blocked' ? 'skipped' : end;
      this.context.log.add({ stepKey: key, attempt: 0, state, reason });
    }
  }

  /** Joins have no row, but for those that once waited for their list or their pipeline. */
  private hasRow({ kind, key }: GraphNode): boolean {
    return kind !== 'join' || this.expanded.some((one) => one.key === key);
  }

  private tell(key: string): void {
    this.tells.add(key, (each) => this.queue.endedNode(each));
  }

  /** Everything that is known, for a new history; nothing runs any more. None after a cancel. */
  private async carry(): Promise<CarriedState | undefined> {
    const { log } = this.context;
    this.waits.hold();
    do {
      await Promise.all([log.drain(), this.tells.drain()]);
      await condition(allHandlersFinished); // a change that is being written belongs to this history
      if (this.isCancelled) return undefined;
      this.takeNews(); // what came meanwhile: nobody else writes and tells it
    } while (!log.isEmpty || this.tells.canFlush || !allHandlersFinished());
    const { expanded, priority, queue } = this;
    const { isPaused } = this.waits;
    const [attempts, spent] = [[...this.attempts], [...this.spent]];
    return { ended: queue.ended, expanded, attempts, spent, isPaused, priority };
  }

  /** Waits until every attempt has stopped, at most the longest grace and a margin. */
  private async stopSteps(): Promise<void> {
    const running = this.queue.runningKeys;
    const graces = running.map((key) => {
      const settings = this.queue.nodeOf(key)?.settings ?? 0;
      return this.settings[settings]?.graceSeconds ?? 0;
    });
    const seconds = Math.max(0, ...graces) + STOP_MARGIN_SECONDS;
    await condition(() => this.ended.length >= running.length, seconds * 1000);
    const ends = this.ended.filter(({ end }) => end !== 'held'); // the others never began
    const held = new Set(this.ended.flatMap(({ key, end }) => (end === 'held' ? [key] : [])));
    const stopped = new Set(ends.map(({ key }) => key));
    // what waits for a cancelled step is cancelled with it, not blocked by it
    this.ended.splice(0, this.ended.length, ...ends.filter(({ end }) => end !== 'cancelled'));
    this.takeNews();
    const cancelled = this.queue.cancelAll('the run was cancelled');
    for (const { key } of cancelled) {
      const node = this.queue.nodeOf(key);
      if (node === undefined || stopped.has(key) || !this.hasRow(node)) continue;
      const reason =
        running.includes(key) && !held.has(key)
          ? 'the run was cancelled; the step did not stop in time'
          : 'the run was cancelled';
      this.context.log.add({ stepKey: key, attempt: 0, state: 'cancelled', reason });
    }
  }

  /** For Temporal's own web UI; costs no event. */
  private showProgress(state: string): void {
    const { ended, of } = this.queue.progress;
    const now = this.queue.runningKeys.slice(0, FAILED_MAX).join(', ');
    const failed = this.queue.failed.slice(0, FAILED_MAX).map(({ key }) => key);
    const part = this.segment.segment > 0 ? ` (part ${this.segment.segment + 1})` : '';
    setCurrentDetails(
      `**${this.run.pipeline}**${part} ${state}: ${ended} of ${of} steps ended.` +
        (now === '' ? '' : ` Under way: ${now}.`) +
        (failed.length === 0 ? '' : ` Failed: ${failed.join(', ')}.`),
    );
  }
}
