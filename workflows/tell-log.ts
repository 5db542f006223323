import { condition, getExternalWorkflowHandle, sleep } from '@temporalio/workflow';
import { append } from '../dag/group-by';
import type { EndedNode, SegmentTell } from '../schemas/graph';
import { NODES_ENDED_SIGNAL, segmentWorkflowId } from './contract';

/** A segment is started within a second of the others; a server that is down takes longer. */
const AGAIN_MS = 500;
const TRIES_MAX = 120;

/**
 * What other segments must hear, on its way to them: one signal at a time to each; what comes up
 * meanwhile makes the next one.
 */
export class TellLog {
  private readonly runId: string;
  private readonly open = new Map<SegmentTell, number>(); // keys that have not ended
  private readonly byKey = new Map<string, SegmentTell[]>();
  private readonly pending = new Map<number, EndedNode[]>(); // by segment
  private readonly sending = new Set<number>();

  constructor(runId: string, tells: readonly SegmentTell[]) {
    this.runId = runId;
    for (const tell of tells) {
      this.open.set(tell, tell.keys.length);
      for (const key of tell.keys) append(this.byKey, key, tell);
    }
  }

  /** A node of this segment has ended; `endOf` gives the ends of those told together with it. */
  add(key: string, endOf: (key: string) => EndedNode | undefined): void {
    for (const tell of this.byKey.get(key) ?? []) {
      const left = (this.open.get(tell) ?? 0) - 1;
      this.open.set(tell, left);
      if (left > 0) continue;
      const nodes = tell.keys.flatMap((each) => endOf(each) ?? []);
      this.pending.set(tell.segment, [...(this.pending.get(tell.segment) ?? []), ...nodes]);
    }
  }

  /** Drops what waits. */
  forget(): void {
    this.pending.clear();
  }

  /** True when `flush` has something to do. */
  get canFlush(): boolean {
    return [...this.pending.keys()].some((segment) => !this.sending.has(segment));
  }

  flush(): void {
    for (const [segment, nodes] of this.pending) {
      if (this.sending.has(segment)) continue;
      this.pending.delete(segment);
      this.sending.add(segment);
      void this.send(segment, nodes).finally(() => this.sending.delete(segment));
    }
  }

  /** Sends all that waits. */
  async drain(): Promise<void> {
    while (this.pending.size > 0 || this.sending.size > 0) {
      this.flush();
      await condition(() => this.canFlush || this.sending.size === 0);
    }
  }

  private async send(segment: number, nodes: readonly EndedNode[]): Promise<void> {
    const handle = getExternalWorkflowHandle(segmentWorkflowId(this.runId, segment));
    for (let attempt = 1; attempt <= TRIES_MAX; attempt += 1) {
      try {
        await handle.signal(NODES_ENDED_SIGNAL, nodes);
        return;
      } catch {
        // not started yet; or ended, since somebody terminated it, and then the run ends, too
        await sleep(AGAIN_MS);
      }
    }
  }
}
