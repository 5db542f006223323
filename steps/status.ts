import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { isAppError } from '../errors/app-error';
import type { ReportProgress } from '../schemas/attempts';
import { METRICS_OF_PROGRESS_MAX } from '../schemas/pipeline-runs';
import { isStorable, toStorable } from '../schemas/storable';
import type { Http } from '../sdk/http';
import { readContractFile, wrong } from './contract-file';
import type { ContractFile } from './contract-file';
import type { LogShipper } from './logs';
import { Looks } from './looks';

/** As often as the heartbeat: a person who watches sees no difference. */
const LOOK_MS = 2_000;
const BYTES_MAX = 64 * 1024;
const MESSAGE_CHARS_MAX = 500;
/** Complaints about one attempt's file: a step may write a new mistake every second. */
const NOTES_MAX = 5;

const NOTHING_SAID: ReportProgress = {
  fraction: null,
  etaSeconds: null,
  message: null,
  metrics: {},
};

const share = 'must be a number from 0 to 1';
const seconds = 'must be a number of seconds, 0 or more';
const names = `must map at most ${METRICS_OF_PROGRESS_MAX} names of up to 250 characters to finite numbers`;
/** What a step may say of itself. */
const StatusFile = z.object({
  progress: z.number(share).min(0, share).max(1, share).nullish(),
  eta_seconds: z.number(seconds).min(0, seconds).nullish(),
  message: z.string('must be text').nullish(),
  metrics: z
    .record(z.string().max(250, names), z.number(names), names)
    .refine((metrics) => Object.keys(metrics).length <= METRICS_OF_PROGRESS_MAX, names)
    .refine(isStorable, names)
    .nullish(),
});

/** What becomes of what the step said. */
export interface StatusReports {
  /** The step has written its file. */
  written(): void;
  sent(report: ReportProgress): void;
  refused(error: unknown): void;
}

/**
 * Reads what a step writes to ANNEAL_STATUS_FILE and sends it to the api whenever it has changed. A
 * file that cannot be understood is no failure: it is noted once in the step's log.
 */
export class StatusWatcher {
  private readonly http: Http;
  private readonly logs: LogShipper;
  private readonly contract: ContractFile;
  private readonly reports: StatusReports;
  private readonly noted = new Set<string>();
  private stalledSince: string | undefined;
  private readonly looks = new Looks((told) => this.look(told), LOOK_MS);
  private stamp = ''; // of the file that was read last
  private suspect = ''; // of a file that held no JSON: perhaps half written
  private newest: ReportProgress | undefined;
  private sent = '';

  constructor(options: {
    readonly http: Http;
    readonly logs: LogShipper;
    readonly file: string;
    readonly owner: number | undefined; // of the file, where steps have a user of their own
    readonly reports: StatusReports;
  }) {
    const example = '{"progress": 0.4, "message": "epoch 4 of 10"}';
    const { http, logs, file, owner, reports } = options;
    this.http = http;
    this.logs = logs;
    this.reports = reports;
    this.contract = { file, owner, name: 'ANNEAL_STATUS_FILE', example, bytesMax: BYTES_MAX };
  }

  start(): void {
    this.looks.start();
  }

  /** Sends the last word of a step that has ended. */
  finish(): Promise<void> {
    return this.looks.finish();
  }

  /** Says since when (ISO) nothing was heard of the step, or that it is no longer so. */
  stalled(since: string | undefined): void {
    this.stalledSince = since;
  }

  private async look(told: { readonly isLast: boolean }): Promise<void> {
    const info = await stat(this.contract.file).catch(() => undefined); // most steps write none
    const stamp = info === undefined ? '' : [info.ino, info.size, info.mtimeMs].join('/');
    if (stamp !== this.stamp) await this.read(stamp, told);
    await this.send();
  }

  private async read(stamp: string, { isLast }: { readonly isLast: boolean }): Promise<void> {
    const found = await readContractFile(this.contract);
    if (found === undefined) return;
    if ('problem' in found && found.mayBeHalf && stamp !== this.suspect && !isLast) {
      this.suspect = stamp; // if it looks the same next time, nobody is writing any more
      return;
    }
    this.stamp = stamp;
    this.reports.written();
    if ('value' in found) this.take(found.value);
    else this.note('', found.problem);
  }

  private take(value: Readonly<Record<string, unknown>>): void {
    const parsed = StatusFile.safeParse(value);
    if (!parsed.success) {
      for (const { path, message } of parsed.error.issues) {
        const key = String(path[0] ?? '');
        this.note(key, wrong(this.contract, `is left out: '${key}' ${message}`).problem);
      }
      return;
    }
    const known = Object.keys(StatusFile.shape);
    for (const key of Object.keys(value).filter((name) => !known.includes(name))) {
      this.note(key, `ANNEAL_STATUS_FILE: '${key}' is not read; known are ${known.join(', ')}.`);
    }
    const { progress, eta_seconds: eta, message, metrics } = parsed.data;
    this.newest = {
      fraction: progress ?? null,
      etaSeconds: eta ?? null,
      message: message == null ? null : this.toMessage(message),
      metrics: metrics ?? {},
    };
  }

  private toMessage(text: string): string {
    return toStorable(this.logs.masks.mask(text).slice(0, MESSAGE_CHARS_MAX));
  }

  private note(about: string, text: string): void {
    if (this.noted.has(about) || this.noted.size >= NOTES_MAX) return;
    this.noted.add(about);
    this.logs.add('anneal', text);
  }

  private async send(): Promise<void> {
    const stalled = this.stalledSince === undefined ? {} : { stalledSince: this.stalledSince };
    const isSilent =
      this.newest === undefined && this.stalledSince === undefined && this.sent === '';
    const report = { ...(this.newest ?? NOTHING_SAID), ...stalled };
    const text = JSON.stringify(report);
    if (isSilent || text === this.sent) return;
    try {
      await this.http.post('/api/v1/attempts/self/progress', report);
      this.sent = text;
      this.reports.sent(report);
    } catch (error) {
      if (isAppError(error) && error.row.retryable) return; // the next look tries again
      this.sent = text;
      this.reports.refused(error);
    }
  }
}
