import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { registerRunEvents } from '../../api/routes/v1/run-events';
import { appendLogLines } from '../../pipelines/log-lines';
import { beginPipelineRun, finishPipelineRun } from '../../pipelines/pipeline-runs';
import { RunFeeds } from '../../pipelines/run-events';
import { recordTransitions } from '../../pipelines/transitions';
import type { Permission } from '../../schemas/tokens';
import type { Postgres } from '../../storage/postgres/client';
import { openEvents, type EventClient, type ReceivedEvent } from '../support/event-stream';
import { plan, step } from '../support/plans';
import { createTestDatabase, type TestDatabase } from '../support/postgres';
import { until } from '../support/step-lab';

const projectId = 'default';
const STREAMS_MAX = 3;
let database: TestDatabase;
let app: FastifyInstance;
let base: string;
let permissions: Permission[] = ['pipelines:read'];
beforeAll(async () => {
  database = await createTestDatabase();
  ({ app, base } = await listen());
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

async function listen(): Promise<{ app: FastifyInstance; base: string }> {
  const opened = await createApp({
    authenticate: () => {
      const granted = new Set(permissions);
      return Promise.resolve({ kind: 'user', name: 'ada', projectId, permissions: granted });
    },
    routes: (routes) => {
      registerRunEvents(routes, database, { streamsMax: STREAMS_MAX });
    },
  });
  return { app: opened, base: await opened.listen({ host: '127.0.0.1', port: 0 }) };
}
function open(runId: string, lastEventId?: string): Promise<EventClient> {
  return openEvents(`${base}/api/v1/pipeline-runs/${runId}/events`, lastEventId);
}
async function begin(): Promise<string> {
  const runId = crypto.randomUUID();
  await beginPipelineRun(database, { projectId, runId, plan: plan([step('train')]) });
  return runId;
}
async function say(runId: string, from: number, count: number): Promise<void> {
  const at = new Date(0).toISOString();
  const lines = Array.from({ length: count }, (_, i) => {
    return { seq: from + i, at, stream: 'stdout', text: `line ${from + i}` } as const;
  });
  const attempt = { projectId, runId, stepKey: 'train', attempt: 1 };
  await appendLogLines(database, { attempt, lines });
}
async function change(runId: string, state: string): Promise<void> {
  const none = { reason: undefined, failureClass: undefined, isLost: false, atMs: 0 };
  const transition = { stepKey: 'train', attempt: 1, state, status: 'running', ...none } as const;
  await recordTransitions(database, { projectId, runId, transitions: [transition] });
}
async function end(runId: string): Promise<void> {
  await finishPipelineRun(database, { projectId, runId, status: 'cancelled', reason: 'enough' });
}
/** What an event says, in a word. */
function wordOf({ event, data }: ReceivedEvent): string {
  return `${event} ${String(data['text'] ?? data['state'] ?? data['status'])}`;
}
const wordsOf = (...clients: readonly EventClient[]): string[] =>
  clients.flatMap(({ events }) => events.map(wordOf));
const lastId = ({ events }: EventClient): string => events.at(-1)?.id ?? '';

describe('the events of a run', () => {
  it('are all there was, then all that comes, then its end', async () => {
    const runId = await begin();
    await say(runId, 0, 2);
    await change(runId, 'started');
    const client = await open(runId);
    expect([client.status, client.contentType]).toEqual([200, 'text/event-stream; charset=utf-8']);
    await until(() => client.events.length === 3);
    await say(runId, 2, 1);
    await until(() => client.events.length === 4);
    await change(runId, 'retrying');
    await end(runId);
    await client.ended;
    expect(wordsOf(client)).toEqual([
      ...['transition started', 'log line 0', 'log line 1', 'log line 2'],
      ...['transition retrying', 'transition cancelled', 'end cancelled'],
    ]);
    expect(client.events.at(-1)?.data).toMatchObject({ id: runId, reason: 'enough' });
    const again = await open(runId, lastId(client));
    expect(again.status).toBe(204); // the client may rest
  });

  it('go on behind the last one seen, without loss and without doubles', async () => {
    const runId = await begin();
    const COUNT = 1_300; // more than two pages
    await say(runId, 0, COUNT);
    const first = await open(runId);
    await until(() => first.events.length > 100);
    first.drop();
    await first.ended;
    await change(runId, 'started');
    const second = await open(runId, lastId(first));
    await until(() => first.events.length + second.events.length === COUNT + 1);
    second.drop();
    await second.ended;
    await say(runId, COUNT, 1);
    await end(runId);
    const third = await open(runId, lastId(second));
    await third.ended;
    const lines = Array.from({ length: COUNT + 1 }, (_, i) => `log line ${i}`);
    const said = wordsOf(first, second, third);
    expect(said.filter((word) => word.startsWith('log'))).toEqual(lines);
    expect(said.filter((word) => !word.startsWith('log'))).toEqual([
      ...['transition started', 'transition cancelled', 'end cancelled'],
    ]);
    const ids = [first, second, third].flatMap(({ events }) => events.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    for (const [i, id] of ids.entries()) {
      const [transition = 0, line = 0] = id.split('-').map(Number);
      const [before = 0, lineBefore = 0] = (ids[i - 1] ?? '0-0').split('-').map(Number);
      expect(transition >= before && line >= lineBefore).toBe(true); // both only rise
    }
  });

  it('are refused to whom they do not concern, and where they cannot begin', async () => {
    const runId = await begin();
    expect((await open('nope')).status).toBe(404);
    expect((await open(runId, 'yesterday')).status).toBe(400);
    permissions = [];
    expect((await open(runId)).status).toBe(403);
    permissions = ['pipelines:read'];
  });

  it('go to so many at once and no more', async () => {
    const runId = await begin();
    const opening = Array.from({ length: STREAMS_MAX }, () => open(runId));
    const clients = await Promise.all(opening);
    const refused = await open(runId);
    await refused.ended;
    expect([refused.status, refused.text()]).toEqual([
      429,
      expect.stringContaining(`${STREAMS_MAX} event streams are open already`),
    ]);
    clients[0]?.drop();
    await until(async () => {
      const late = await open(runId);
      late.drop();
      return late.status === 200;
    });
    await end(runId);
    await Promise.all(clients.map(({ ended }) => ended));
  });

  it('stop when the api stops, which does not wait for them', async () => {
    const runId = await begin();
    const other = await listen();
    const client = await openEvents(`${other.base}/api/v1/pipeline-runs/${runId}/events`);
    await other.app.close();
    await client.ended;
    expect(client.events).toEqual([]); // no end: the run goes on
  });
});

describe('whoever follows the same run', () => {
  it('shares one look at it and what is read', async () => {
    const runId = await begin();
    await say(runId, 0, 1);
    let statements = 0;
    const postgres: Postgres = {
      ...database.postgres,
      query: (text, values) => {
        statements += 1;
        return database.postgres.query(text, values);
      },
    };
    const feeds = new RunFeeds({ postgres });
    const run = { projectId, runId };
    const followers = await Promise.all(Array.from({ length: 20 }, () => feeds.follow(run)));
    expect([feeds.size, statements]).toEqual([1, 1]);
    const pages = followers.map(({ feed }) => feed.read({ transition: 0, line: 0 }));
    for (const { events } of await Promise.all(pages)) {
      expect(events.map(({ event }) => event)).toEqual(['log']);
    }
    // the run's own row is no part of it; a look may have come in between
    expect(statements).toBeLessThanOrEqual(4);
    for (const { leave } of followers) leave();
    expect(feeds.size).toBe(0);
  });
});
