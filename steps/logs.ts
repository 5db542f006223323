import { isAppError } from '../errors/app-error';
import type { LogLine } from '../schemas/pipeline-runs';
import type { Http } from '../sdk/http';
import { LogLimit } from './log-limit';
import type { Masks } from './secrets';
import type { UnnumberedLine } from './log-limit';

/** Soon enough for a person who follows, rare enough for the api. */
const FLUSH_MS = 500;
const BATCH_LINES = 500; // the api takes 1,000
const BATCH_CHARS = 1024 * 1024; // a request is in memory several times
const LINE_CHARS_MAX = 16 * 1024; // as the api

/** Sends an attempt's lines to the api in order; nothing is lost on an ordinary end. */
export class LogShipper {
  private readonly http: Http;
  private readonly waiting: LogLine[] = [];
  private readonly limit = new LogLimit();
  private seq = 0;
  private timer: NodeJS.Timeout | undefined;
  private sending: Promise<void> | undefined;
  private refused: unknown;
  private readonly onRefused: (error: unknown) => void;

  /** Takes secrets out of what is shown. */
  readonly masks: Masks;

  /** `onRefused` hears once that the api takes no more; what waits then is given up. */
  constructor(http: Http, masks: Masks, onRefused: (error: unknown) => void) {
    this.http = http;
    this.masks = masks;
    this.onRefused = onRefused;
  }

  /** Adds a line without secrets; longer ones are cut into several. */
  add(stream: LogLine['stream'], line: string): void {
    const text = this.masks.mask(line);
    const at = new Date().toISOString();
    for (let from = 0; from === 0 || from < text.length; from += LINE_CHARS_MAX) {
      const part = { at, stream, text: text.slice(from, from + LINE_CHARS_MAX) };
      // ours are few, and they say why the step ended
      const kept = stream === 'anneal' ? part : this.limit.keep(part);
      if (kept !== undefined) this.push(kept);
    }
    if (this.waiting.length >= BATCH_LINES) void this.flush();
    else this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  /** The process has ended: its last lines follow if they were too many. */
  endOutput(): void {
    for (const line of this.limit.end()) this.push(line);
  }

  private push(line: UnnumberedLine): void {
    if (this.refused !== undefined) return;
    this.waiting.push({ seq: this.seq, ...line });
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
      const lines = this.batch();
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

  private batch(): LogLine[] {
    let chars = 0;
    const tooMany = this.waiting.slice(0, BATCH_LINES).findIndex(({ text }) => {
      chars += text.length;
      return chars > BATCH_CHARS;
    });
    return this.waiting.slice(0, tooMany === -1 ? BATCH_LINES : Math.max(1, tooMany));
  }
}
