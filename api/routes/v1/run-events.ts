import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError } from '../../../errors/app-error';
import { getPipelineRun, type PipelineRunDeps } from '../../../pipelines/pipeline-runs';
import { RunFeeds, type EventPosition, type FollowedRun } from '../../../pipelines/run-events';
import { principalOf } from '../../app';
import { openEventStream, type EventStream } from '../../event-stream';

/** Each holds a socket and some buffer; a person opens a few, a broken program thousands. */
const STREAMS_MAX = 200;
/** Then the client comes back and shows its token again. */
const STREAM_MS_MAX = 30 * 60_000;

const ById = z.object({ id: z.string().min(1).max(200) });
const EventsQuery = z.strictObject({ after: z.string().max(100).optional() });
const POSITION = /^(\d{1,15})-(\d{1,15})(-end)?$/;
const BEGIN: EventPosition = { transition: 0, line: 0 };

/** Following a run live: its transitions and log lines as server-sent events. */
export function registerRunEvents(
  app: FastifyInstance,
  deps: PipelineRunDeps,
  { streamsMax = STREAMS_MAX }: { readonly streamsMax?: number } = {},
): void {
  const feeds = new RunFeeds(deps);
  const open = new Set<EventStream>();
  const read = { config: { permission: 'pipelines:read' }, exposeHeadRoute: false } as const;
  app.get('/api/v1/pipeline-runs/:id/events', read, async (request, reply) => {
    const { projectId } = principalOf(request);
    const { id: runId } = ById.parse(request.params);
    const after = positionOf(request);
    await getPipelineRun(deps, { projectId, id: runId });
    if (after === 'end') return reply.code(204).send(); // an EventSource then stays away
    if (open.size >= streamsMax) {
      const message = `${streamsMax} event streams are open already: close one, or come back later.`;
      throw new AppError('RATE_LIMITED', message);
    }
    const stream = openEventStream(reply);
    open.add(stream);
    const timer = setTimeout(() => {
      stream.end();
    }, STREAM_MS_MAX);
    try {
      await tellRun({ deps, feeds, stream }, { projectId, runId }, after);
    } catch {
      // Postgres is away: the client comes back and goes on where it was
    } finally {
      clearTimeout(timer);
      open.delete(stream);
      stream.end();
    }
    return reply;
  });
  app.addHook('preClose', async () => {
    for (const stream of open) stream.end();
    return Promise.resolve();
  });
}

interface Telling {
  readonly deps: PipelineRunDeps;
  readonly feeds: RunFeeds;
  readonly stream: EventStream;
}

/** Sends everything behind a position until the run has ended or the client has gone. */
async function tellRun(
  { deps, feeds, stream }: Telling,
  run: FollowedRun,
  after: EventPosition,
): Promise<void> {
  const { signal } = stream;
  const isGone = (): boolean => signal.aborted;
  const gone = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
  const followed = await feeds.follow(run);
  const { feed } = followed;
  try {
    let position = after;
    while (!isGone()) {
      const { changed, hasEnded } = feed; // before the read: what comes meanwhile is news
      const page = await feed.read(position);
      for (const { event, data, position: at } of page.events) {
        await stream.send({ id: idOf(at), event, data });
        if (isGone()) return;
      }
      position = page.position;
      if (page.hasMore) continue;
      if (hasEnded) {
        const data = await getPipelineRun(deps, { projectId: run.projectId, id: run.runId });
        await stream.send({ id: `${idOf(position)}-end`, event: 'end', data });
        return;
      }
      await Promise.race([changed, gone]);
    }
  } finally {
    followed.leave();
  }
}

function idOf({ transition, line }: EventPosition): string {
  return `${transition}-${line}`;
}

/** Where the client wants to go on: what an EventSource sends by itself, or the query. */
function positionOf(request: FastifyRequest): EventPosition | 'end' {
  const { after } = EventsQuery.parse(request.query);
  const header = request.headers['last-event-id'];
  const given = typeof header === 'string' && header !== '' ? header : after;
  if (given === undefined) return BEGIN;
  const [, transition, line, end] = POSITION.exec(given) ?? [];
  if (transition === undefined || line === undefined) {
    throw new AppError('INVALID_ARGUMENT', `'${given}' is not the id of an event of a run.`);
  }
  return end === undefined ? { transition: Number(transition), line: Number(line) } : 'end';
}
