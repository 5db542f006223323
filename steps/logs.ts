import type { LogLine } from '../schemas/pipeline-runs';
import type { Http } from '../sdk/http';

/** Soon enough for a person who follows, rare enough for the api. */
const FLUSH_MS = 500;
const BATCH_LINES = 500; // the api takes 1,000
const LINE_CHARS_MAX = 16 * 1024;
/** Per attempt; beyond it only a note is kept. Metrics and files have no such limit. */
const BYTES_MAX = 64 * 1024 * 1024;

/** Sends an attempt's lines to the api in order; nothing is lost on an ordinary end. */
export class LogShipper {
  private readonly http: Http;
  private readonly waiting: LogLine[] = [];
  private seq = 0;
  private bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private sending: Promise<void> = Promise.resolve();
  private readonly onRefused: (error: unknown) => void;

  /** `onRefused` hears of a failed delivery; the lines stay and are sent again. */
  constructor(http: Http, onRefused: (error: unknown) => void) {
    this.http = http;
    this.onRefused = onRefused;
  }

  /** Adds a line; longer ones are cut into several. */
  add(stream: LogLine['stream'], text: string): void {
    for (let at = 0; at === 0 || at < text.length; at += LINE_CHARS_MAX) {
      this.push(stream, text.slice(at, at + LINE_CHARS_MAX));
    }
    if (this.waiting.length >= BATCH_LINES) void this.flush();
    else this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  private push(stream: LogLine['stream'], text: string): void {
    if (this.bytes > BYTES_MAX) return;
    this.bytes += text.length;
    const full = this.bytes > BYTES_MAX;
    const line = full
      ? {
          stream: 'anneal' as const,
          text: 'The log of this attempt is full (64 MiB): the rest is not kept.',
        }
      : { stream, text };
    this.waiting.push({ seq: this.seq, at: new Date().toISOString(), ...line });
    this.seq += 1;
  }

  /** Sends all that waits; resolves when it was taken or refused. */
  flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.sending = this.sending.then(() => this.send());
    return this.sending;
  }

  private async send(): Promise<void> {
    while (this.waiting.length > 0) {
      const lines = this.waiting.slice(0, BATCH_LINES);
      try {
        await this.http.post('/api/v1/attempts/self/logs', { lines });
        this.waiting.splice(0, lines.length);
      } catch (error) {
        this.onRefused(error);
        return;
      }
    }
  }
}
