import type { Transition } from '../schemas/pipeline-runs';
import { selectLogLines, type StepLogLine } from '../storage/postgres/log-lines';
import { findRunMark, type RunMark } from '../storage/postgres/run-events';
import { listTransitions } from '../storage/postgres/transitions';
import type { PipelineRunDeps } from './pipeline-runs';

/** Up to where somebody has seen a run; both numbers only rise. */
export interface EventPosition {
  readonly transition: number;
  readonly line: number;
}
/** One thing that happened in a run; whoever has seen it goes on behind `position`. */
export type RunEvent = { readonly position: EventPosition } & (
  | { readonly event: 'transition'; readonly data: Transition }
  | { readonly event: 'log'; readonly data: StepLogLine }
);
export interface FollowedRun {
  readonly projectId: string;
  readonly runId: string;
}
export interface EventPage {
  readonly events: readonly RunEvent[];
  readonly position: EventPosition;
  /** More is there already. */
  readonly hasMore: boolean;
}

/** Between two looks at a run: quick enough for a person, two light statements a second. */
const POLL_MS = 500;
const PAGE = 500;
/** Followers who are up to date need one; those who read a long log from its begin go on alone. */
const PAGES_KEPT_MAX = 4;

/** What happened in a run behind a position: transitions first, then log lines, oldest first. */
async function readEvents(
  deps: PipelineRunDeps,
  run: FollowedRun,
  after: EventPosition,
): Promise<EventPage> {
  const list = { ...run, limit: PAGE };
  const [transitions, lines] = await Promise.all([
    listTransitions(deps.postgres, { ...list, after: after.transition }),
    selectLogLines(deps.postgres, { ...list, after: after.line }),
  ]);
  let position = after;
  const events: RunEvent[] = [];
  for (const data of transitions) {
    position = { ...position, transition: data.id };
    events.push({ event: 'transition', data, position });
  }
  for (const data of lines) {
    position = { ...position, line: data.id };
    events.push({ event: 'log', data, position });
  }
  const hasMore = transitions.length === PAGE || lines.length === PAGE;
  return { events, position, hasMore };
}

/**
 * One run as its followers see it: one look at a time tells all of them that there is news, and those
 * who stand at the same position share what is read.
 */
export class RunFeed {
  private readonly deps: PipelineRunDeps;
  private readonly run: FollowedRun;
  private mark: RunMark | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private pages = new Map<string, Promise<EventPage>>();
  private wake: () => void = () => undefined;
  private news = this.nextNews();

  constructor(deps: PipelineRunDeps, run: FollowedRun) {
    this.deps = deps;
    this.run = run;
  }

  /** True once the run has ended; then one more read gives the last there is. */
  get hasEnded(): boolean {
    return this.mark?.hasEnded === true;
  }

  /** Resolves when something has happened since this call. */
  get changed(): Promise<void> {
    return this.news;
  }

  /** The page behind a position. */
  read(after: EventPosition): Promise<EventPage> {
    const key = `${after.transition}-${after.line}`;
    const known = this.pages.get(key);
    if (known !== undefined) return known;
    const page = readEvents(this.deps, this.run, after);
    this.pages.set(key, page);
    page.catch(() => this.pages.delete(key)); // the next one tries again
    const [oldest] = this.pages.keys();
    if (this.pages.size > PAGES_KEPT_MAX && oldest !== undefined) this.pages.delete(oldest);
    return page;
  }

  /** Looks at the run until `close`; while Postgres is away, it tries on. */
  async poll(): Promise<void> {
    const mark = await findRunMark(this.deps.postgres, this.run).catch(() => this.mark);
    if (this.isClosed) return;
    if (JSON.stringify(mark) !== JSON.stringify(this.mark)) this.tell(mark);
    this.timer = setTimeout(() => void this.poll(), POLL_MS);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.tell(this.mark);
  }

  private tell(mark: RunMark | undefined): void {
    this.mark = mark;
    this.pages = new Map();
    const { wake } = this;
    this.news = this.nextNews();
    wake();
  }

  private nextNews(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

/** The feeds of a process: one for each run that somebody follows, however many they are. */
export class RunFeeds {
  private readonly deps: PipelineRunDeps;
  private readonly feeds = new Map<string, { readonly feed: RunFeed; followers: number }>();

  constructor(deps: PipelineRunDeps) {
    this.deps = deps;
  }

  /** How many runs are looked at. */
  get size(): number {
    return this.feeds.size;
  }

  /** The feed of a run; every `follow` needs its `leave`. */
  async follow(run: FollowedRun): Promise<{ readonly feed: RunFeed; leave(): void }> {
    const key = JSON.stringify([run.projectId, run.runId]);
    const entry = this.feeds.get(key) ?? { feed: new RunFeed(this.deps, run), followers: 0 };
    const isFirst = entry.followers === 0;
    entry.followers += 1;
    this.feeds.set(key, entry);
    if (isFirst) await entry.feed.poll();
    const leave = (): void => {
      entry.followers -= 1;
      if (entry.followers > 0) return;
      this.feeds.delete(key);
      entry.feed.close();
    };
    return { feed: entry.feed, leave };
  }
}
