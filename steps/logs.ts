import { isAppError } from '../errors/app-error';
import type { LogLine } from '../schemas/pipeline-runs';
import type { Http } from '../sdk/http';

/** Soon enough for a person who follows, rare enough for the api. */
const FLUSH_MS = 500;
const BATCH_LINES = 500; // the api takes 1,000
const LINE_CHARS_MAX = 16 * 1024; // as the api
/** Per attempt; beyond it only a note is kept. Metrics and files have no such limit. */
const BYTES_MAX = 64 * 1024 * 1024;
const FULL = 'The log of this attempt is full (64 MiB): the rest is not kept.';

/** Sends an attempt's lines to the api in order; nothing is lost on an ordinary end. */
export class LogShipper {
  private readonly http: Http;
  private readonly waiting: LogLine[] = [];
  private seq = 0;
  private bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private sending: Promise<void> | undefined;
  private refused: unknown;
  private readonly onRefused: (error: unknown) => void;

  /** `onRefused` hears once that the api takes no more; what waits then is given up. */
  constructor(http: Http, onRefused: (error: unknown) => void) {
    this.http = http;
    this.onRefused = onRefused;
  }

  /** Adds a line; longer ones are cut into several. */
  add(stream: LogLine['stream'], text: string): void {
    if (this.refused !== undefined) return;
    for (let at = 0; at === 0 || at < text.length; at += LINE_CHARS_MAX) {
      this.push(stream, text.slice(at, at + LINE_CHARS_MAX));
    }
    if (this.waiting.length >= BATCH_LINES) void this.flush();
    else this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  private push(stream: LogLine['stream'], text: string): void {
    const isOurs = stream === 'anneal'; // few, and they say why the step ended
    if (this.bytes > BYTES_MAX && !isOurs) return;
    this.bytes += Buffer.byteLength(text);
    const isFull = this.bytes > BYTES_MAX && !isOurs;
    const line = isFull ? { stream: 'anneal' as const, text: FULL } : { stream, text };
    this.waiting.push({ seq: this.seq, at: new Date().toISOString(), ...line });
    this.seq += 1;
  }

  /** Sends what waits; resolves when it was taken or refused. One request at a time. */
  flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.sending ??= this.send().finally(() => {
      this.sending = undefined;
    });
    return this.sending;
  }

  /** Sends everything that was added before this call. */
  async finish(): Promise<void> {
    await this.flush();
    await this.flush(); // lines that came between the last request and its answer
  }

  private async send(): Promise<void> {
    while (this.waiting.length > 0 && this.refused === undefined) {
      const lines = this.waiting.slice(0, BATCH_LINES);
      try {
        await this.http.post('/api/v1/attempts/self/logs', { lines });
        this.waiting.splice(0, lines.length);
      } catch (error) {
        // as long as it may help to repeat, the lines stay: the next line or the end tries again
        if (isAppError(error) && error.row.retryable) return;
        this.refused = error;
        this.waiting.length = 0;
        this.onRefused(error);
      }
    }
  }
}
