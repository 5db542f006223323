import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError } from '../errors/app-error';
import type { Http } from '../sdk/http';
import { describeFiles, uploadFiles } from '../sdk/uploads';

/** How often the folder is looked at: well below the shortest useful interval of checkpoints. */
const LOOK_MS = 250;
/** After a failed upload, so that a broken disk or file does not fill the log. */
const LOOK_AGAIN_MS = 5_000;
/** A step writes into such a name first and renames it when all is written. */
const UNFINISHED = /^\.|^tmp|\.tmp$|\.partial$/i;
/** What neither was renamed for sure nor holds `.complete` counts once nothing changes so long. */
const QUIET_MS = 2_000;

export interface CheckpointReports {
  saved(name: string): void;
  /** Of what is left out of a checkpoint. */
  noted(text: string, name: string): void;
  /** `name` is that of the checkpoint, if it is about one. */
  failed(error: unknown, name: string | undefined): void;
}
interface Candidate {
  readonly name: string;
  readonly mtimeMs: number;
  /** Another one as soon as something new stands under the name. */
  readonly stamp: string;
}

/** Uploads finished checkpoints of a step in the background while it goes on. */
export class CheckpointWatcher {
  private readonly http: Http;
  private readonly folder: string;
  private readonly owner: number | undefined; // of the files that are taken
  private readonly reports: CheckpointReports;
  private readonly done = new Map<string, string>();
  /** Of the newest one that is safe: what is older comes too late. */
  private savedMtimeMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(
    http: Http,
    { folder, owner }: { readonly folder: string; readonly owner: number | undefined },
    reports: CheckpointReports,
  ) {
    this.http = http;
    this.folder = folder;
    this.owner = owner;
    this.reports = reports;
  }

  start(): void {
    this.schedule(LOOK_MS);
  }

  /**
   * Waits for the upload in progress and saves the newest one, now that nobody writes any more.
   * `wasKilled`: the process may have been in the middle of writing one.
   */
  async finish(wasKilled: boolean): Promise<void> {
    await this.stop();
    await this.look({ isQuiet: !wasKilled });
  }

  /** Waits for the upload in progress and begins no other. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.working;
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.working = this.look({ isQuiet: false }).then((isWell) => {
        this.schedule(isWell ? LOOK_MS : LOOK_AGAIN_MS);
      });
    }, delayMs);
  }

  private async look(told: { readonly isQuiet: boolean }): Promise<boolean> {
    let newest: Candidate | undefined;
    try {
      const fresh = await this.findFresh(told);
      newest = fresh.at(-1);
      // only the newest: by the time it is safe, those between are of no use
      if (newest !== undefined) await this.upload(newest, fresh);
      return true;
    } catch (error) {
      if (newest !== undefined && isRefused(error)) this.done.set(newest.name, newest.stamp);
      this.reports.failed(error, newest?.name);
      return false;
    }
  }

  /** The finished ones that are not safe yet, oldest first. */
  private async findFresh(told: { readonly isQuiet: boolean }): Promise<Candidate[]> {
    const fresh: Candidate[] = [];
    for (const { name } of await readdir(this.folder, { withFileTypes: true })) {
      if (UNFINISHED.test(name)) continue;
      const candidate = await readCandidate(this.folder, name, told);
      const isFresh =
        candidate !== undefined &&
        candidate.mtimeMs >= this.savedMtimeMs &&
        this.done.get(name) !== candidate.stamp;
      if (isFresh) fresh.push(candidate);
    }
    return fresh.sort((a, b) => a.mtimeMs - b.mtimeMs);
  }

  private async upload(newest: Candidate, fresh: readonly Candidate[]): Promise<void> {
    const note = (text: string): void => {
      this.reports.noted(text, newest.name);
    };
    const path = join(this.folder, newest.name);
    const files = await describeFiles(path, { owner: this.owner, note });
    if (files.length === 0) return; // a folder that has just been made
    const manifest = await uploadFiles(this.http, files);
    await this.http.post('/api/v1/attempts/self/checkpoints', { name: newest.name, manifest });
    for (const { name, stamp } of fresh) this.done.set(name, stamp);
    this.savedMtimeMs = newest.mtimeMs;
    this.reports.saved(newest.name);
  }
}

/** True if the checkpoint itself is at fault: it would be refused again, for days in a long training. */
function isRefused(error: unknown): boolean {
  return isAppError(error) && ['INVALID_ARGUMENT', 'TOO_LARGE'].includes(error.code);
}

/** The checkpoint under a name, or undefined as long as it may still be written. */
async function readCandidate(
  folder: string,
  name: string,
  { isQuiet }: { readonly isQuiet: boolean },
): Promise<Candidate | undefined> {
  const path = join(folder, name);
  const info = await stat(path).catch(() => undefined); // removed meanwhile
  if (info === undefined) return undefined;
  const { ino, size, mtimeMs, ctimeMs } = info;
  // a rename changes the time of the entry, not that of its contents; writing changes both
  const wasRenamed = ctimeMs > mtimeMs;
  const isDone = wasRenamed || existsSync(join(path, '.complete')) || isQuiet;
  if (!isDone && Date.now() - (await newestChange(path)) < QUIET_MS) return undefined;
  return { name, mtimeMs, stamp: [ino, size, mtimeMs, ctimeMs].join('/') };
}

/** When anything at or below a path changed last, in milliseconds. */
async function newestChange(path: string): Promise<number> {
  const below = await readdir(path, { recursive: true }).catch(() => []); // a file
  const times = [path, ...below.map((name) => join(path, name))].map(
    async (name) => (await stat(name).catch(() => undefined))?.mtimeMs ?? 0,
  );
  return Math.max(...(await Promise.all(times)));
}
