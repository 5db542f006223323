import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Http } from '../sdk/http';
import { describeFiles, uploadFiles } from '../sdk/uploads';

/** How often the folder is looked at: well below the shortest useful interval of checkpoints. */
const LOOK_MS = 250;
/** A step writes into such a name first and renames it when all is written. */
const UNFINISHED = /^\.|^tmp|\.tmp$|\.partial$/i;

/** Uploads finished checkpoints of a step in the background while it goes on. */
export class CheckpointWatcher {
  private readonly http: Http;
  private readonly folder: string;
  private readonly done = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> = Promise.resolve();
  private readonly report: (error: unknown) => void;
  /** The name of the newest one that is safe. */
  newest: string | undefined;

  constructor(http: Http, folder: string, report: (error: unknown) => void) {
    this.http = http;
    this.folder = folder;
    this.report = report;
  }

  start(): void {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
  }

  /** Looks once more and waits until the newest one is safe. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await this.look();
    await this.look();
  }

  private look(): Promise<void> {
    this.working = this.working.then(async () => {
      try {
        await this.uploadNewest();
      } catch (error) {
        this.report(error);
      }
    });
    return this.working;
  }

  /** Only the newest finished one: by the time it is safe, those between are of no use. */
  private async uploadNewest(): Promise<void> {
    const fresh: { name: string; at: number }[] = [];
    for (const entry of await readdir(this.folder, { withFileTypes: true })) {
      if (UNFINISHED.test(entry.name) || this.done.has(entry.name)) continue;
      const path = join(this.folder, entry.name);
      if (entry.isDirectory() || existsSync(path)) {
        fresh.push({ name: entry.name, at: (await stat(path)).mtimeMs });
      }
    }
    const newest = fresh.sort((a, b) => a.at - b.at).at(-1);
    if (newest === undefined) return;
    const files = await describeFiles(join(this.folder, newest.name));
    const manifest = await uploadFiles(this.http, files);
    await this.http.post('/api/v1/attempts/self/checkpoints', { name: newest.name, manifest });
    this.newest = newest.name;
    for (const { name } of fresh) this.done.add(name);
  }
}
