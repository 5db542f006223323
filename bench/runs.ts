import { setTimeout as sleep } from 'node:timers/promises';
import type { PipelineRun } from '../schemas/pipeline-runs';
import type { Plan } from '../schemas/plan';
import type { Http } from '../sdk/http';
import { seconds } from './report';

export const RUNS = '/api/v1/pipeline-runs';
/** How a run is waited for. */
export interface Waiting {
  readonly pollMs: number;
  readonly timeoutMs: number;
}

/** Starts a run and waits until it has succeeded; `wall` is the time from here in seconds. */
export async function runToEnd(
  http: Http,
  plan: Plan,
  { pollMs, timeoutMs }: Waiting,
): Promise<PipelineRun & { readonly wall: number }> {
  const begun = performance.now();
  const { id } = await http.post<PipelineRun>(RUNS, { plan });
  for (;;) {
    const now = await http.get<PipelineRun>(`${RUNS}/${id}`);
    const wall = seconds(begun);
    if (now.status === 'succeeded') return { ...now, wall };
    if (now.endedAt !== null || wall * 1000 > timeoutMs) {
      throw new Error(`the run is ${now.status}: ${now.reason ?? 'it did not end in time'}`);
    }
    await sleep(pollMs);
  }
}
