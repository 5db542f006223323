import { createHttp } from '../sdk/http';
import type { Http } from '../sdk/http';

/** Points wait at most this long, or until so many are there (MLflow takes 1,000 in a batch). */
const FLUSH_MS = 200;
const BATCH_POINTS = 500;

interface Point {
  readonly key: string;
  readonly value: number | string;
  readonly step: number;
  readonly timestamp: number;
}

/**
 * The tracked run that is made for a step: of a function step at its first metric, continued by the next
 * attempt. It is the api that ends it, together with the step.
 */
export class TrackedRun {
  private readonly http: Http;
  private readonly experiment: string;
  private readonly name: string;
  private readonly waiting: Point[] = [];
  private runId: Promise<string> | undefined;
  private sending: Promise<void> = Promise.resolve();
  private lastFlush = Date.now();

  constructor(options: {
    readonly api: string;
    readonly token: string;
    readonly experiment: string;
    readonly name: string;
    /** The run that was made before the process began. */
    readonly runId?: string | undefined;
  }) {
    this.http = createHttp({ baseUrl: options.api, token: options.token, retries: 8 });
    this.experiment = options.experiment;
    this.name = options.name;
    if (options.runId !== undefined) this.runId = Promise.resolve(options.runId);
  }

  /** Adds points; resolves once they are kept when enough wait, at once otherwise. */
  async log(metrics: Readonly<Record<string, number>>, step: number): Promise<void> {
    const timestamp = Date.now();
    for (const [key, value] of Object.entries(metrics)) {
      this.waiting.push({
        key,
        value: Number.isFinite(value) ? value : String(value),
        step,
        timestamp,
      });
    }
    if (this.waiting.length >= BATCH_POINTS || timestamp - this.lastFlush >= FLUSH_MS)
      await this.flush();
  }

  /** Resolves when every point so far is kept by the server. */
  flush(): Promise<void> {
    this.lastFlush = Date.now();
    this.sending = this.sending.then(() => this.send());
    return this.sending;
  }

  /** The id of the run, which is made now if it is not there. */
  id(): Promise<string> {
    this.runId ??= this.create();
    return this.runId;
  }

  private async send(): Promise<void> {
    if (this.waiting.length === 0) return;
    const run_id = await this.id();
    while (this.waiting.length > 0) {
      const metrics = this.waiting.slice(0, BATCH_POINTS);
      await this.http.post('/api/2.0/mlflow/runs/log-batch', { run_id, metrics });
      this.waiting.splice(0, metrics.length);
    }
  }

  private async create(): Promise<string> {
    const experiment_id = await this.experimentId();
    const body = { experiment_id, run_name: this.name, start_time: Date.now() };
    const answer = await this.http.post<{ run: { info: { run_id: string } } }>(
      '/api/2.0/mlflow/runs/create',
      body,
    );
    return answer.run.info.run_id;
  }

  private async experimentId(): Promise<string> {
    const path = `/api/2.0/mlflow/experiments/get-by-name?experiment_name=${encodeURIComponent(this.experiment)}`;
    const find = async (): Promise<string> =>
      (await this.http.get<{ experiment: { experiment_id: string } }>(path)).experiment
        .experiment_id;
    try {
      return await find();
    } catch {
      const body = { name: this.experiment };
      await this.http.post('/api/2.0/mlflow/experiments/create', body).catch(() => undefined);
      return find(); // another step may have been quicker
    }
  }
}
