import type { Step } from '../schemas/pipeline-runs';
import type { Http } from '../sdk/http';
import type { Story } from './demo';
import type { ReadyStack } from './main';

/** What the example promises on the rows that training never saw. */
const ACCURACY_MIN = 0.93;

interface Point {
  readonly step: number;
}

/** Everything that is not as the README promises; an empty list is a success. */
export async function checkStory(http: Http, story: Story): Promise<string[]> {
  const problems: string[] = [];
  if (story.run.status !== 'succeeded') {
    problems.push(`the run ${story.run.status}: ${story.run.reason ?? ''}`);
  }
  const accuracy = valueOf(story.steps, 'evaluate', 'accuracy');
  if (!(Number(accuracy) >= ACCURACY_MIN)) {
    problems.push(`accuracy on the held-back rows is ${String(accuracy)}, below ${ACCURACY_MIN}`);
  }
  if (!story.attempts.some((attempt) => attempt.attempt > 1 && attempt.resumedFrom !== null)) {
    problems.push('no attempt resumed from a checkpoint');
  }
  for (const step of trainingSteps(story)) {
    const gaps = await gapsOf(http, { runId: step.trackedRunId ?? '', epochs: story.epochs });
    if (gaps.length > 0) problems.push(`${step.key} lacks the epochs ${gaps.join(', ')}`);
  }
  return problems;
}

function trainingSteps(story: Story): Step[] {
  return story.steps.filter((step) => step.key.startsWith('train['));
}

/** The epochs for which the tracked run holds no loss. */
async function gapsOf(
  http: Http,
  { runId, epochs }: { readonly runId: string; readonly epochs: number },
): Promise<number[]> {
  const path = `/api/2.0/mlflow/metrics/get-history?run_id=${runId}&metric_key=loss&max_results=25000`;
  const { metrics = [] } = await http.get<{ metrics?: Point[] }>(path);
  const seen = new Set(metrics.map((point) => point.step));
  return Array.from({ length: epochs }, (_, i) => i + 1).filter((epoch) => !seen.has(epoch));
}

function valueOf(steps: readonly Step[], key: string, name: string): unknown {
  const output = steps.find((step) => step.key === key)?.outputs?.[name];
  return output !== undefined && 'value' in output ? output.value : undefined;
}

/** Says what happened, with the links to look at it. */
export async function tellStory(
  told: { readonly http: Http; readonly ready: ReadyStack; readonly story: Story },
  say: (line: string) => void,
): Promise<void> {
  const { http, ready, story } = told;
  say(`\nThe run ${story.run.status}. Its attempts:`);
  for (const attempt of story.attempts) {
    const from = attempt.resumedFrom === null ? '' : `, resumed from ${attempt.resumedFrom}`;
    const why = attempt.failureClass === null ? '' : ` (${attempt.failureClass})`;
    say(`  ${attempt.stepKey} attempt ${attempt.attempt}: ${attempt.status}${why}${from}`);
  }
  for (const step of trainingSteps(story)) {
    const gaps = await gapsOf(http, { runId: step.trackedRunId ?? '', epochs: story.epochs });
    const curve = gaps.length === 0 ? 'no gap' : `${gaps.length} gaps`;
    const accuracy = Number(valueOf(story.steps, step.key, 'accuracy'));
    say(
      `  ${step.key}: loss for ${story.epochs} epochs in one run, ${curve}; accuracy ${accuracy.toFixed(4)} in training`,
    );
  }
  const accuracy = Number(valueOf(story.steps, 'evaluate', 'accuracy'));
  say(`Accuracy on the held-back rows: ${accuracy.toFixed(4)}`);
  const perClass = valueOf(story.steps, 'evaluate', 'per_class');
  if (Array.isArray(perClass)) {
    say(
      `  by digit: ${perClass.map((share, digit) => `${digit}: ${Number(share).toFixed(2)}`).join('  ')}`,
    );
  }
  const version = valueOf(story.steps, 'register', 'version');
  say(`Model digits version ${String(version)} is champion: ${ready.api}/api/v1/models/digits`);
  say(`The run: ${ready.api}/api/v1/pipeline-runs/${story.run.id}`);
  const workflow = encodeURIComponent(`pipeline-run/${story.run.id}`);
  say(`Its workflow: ${ready.temporalUi}/namespaces/default/workflows/${workflow}`);
  say('(The demo keeps nothing. To look around, run the same in: npm run dev)');
}
