import { setTimeout as sleep } from 'node:timers/promises';
import type { PipelineRun, Transition } from '../../schemas/pipeline-runs';
import type { Http } from '../../sdk/http';

const PAGE = 1_000;

/** Every transition of the run at a path of the api, oldest first. */
export async function allTransitions(http: Http, path: string): Promise<Transition[]> {
  const all: Transition[] = [];
  for (;;) {
    const query = `after=${all.at(-1)?.id ?? 0}&limit=${PAGE}`;
    const page = await http.get<{ transitions: Transition[] }>(`${path}/transitions?${query}`);
    all.push(...page.transitions);
    if (page.transitions.length < PAGE) return all;
  }
}

/** The run at a path once it has ended, however; throws if it does not in time. */
export async function untilEnded(
  http: Http,
  path: string,
  timeoutMs: number,
): Promise<PipelineRun> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const run = await http.get<PipelineRun>(path);
    if (run.endedAt !== null) return run;
    await sleep(200);
  }
  throw new Error('the run did not end in time');
}
