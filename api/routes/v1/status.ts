import type { FastifyInstance } from 'fastify';

/** Asks one part whether it works; resolves with what it is, rejects with why it does not. */
export type PartCheck = () => Promise<string>;
export interface StatusDeps {
  readonly version: string;
  readonly parts: Readonly<Record<string, PartCheck>>;
}

/** A part that does not answer within this is reported as broken: a person is waiting. */
const CHECK_TIMEOUT_MS = 3_000;

/** For people who open the address in a browser. */
const WELCOME = `This is Anneal's api; it has no web page.

MLflow clients   mlflow.set_tracking_uri("http://<this address>")
pipelines        anneal run start FILE --follow
is all well?     anneal doctor, or GET /api/v1/status
`;

/**
 * Mounts GET /, a few lines of text, and GET /api/v1/status: every part with `ok` and a message;
 * always 200, for it is an answer.
 */
export function registerStatus(app: FastifyInstance, deps: StatusDeps): void {
  app.get('/', { config: { permission: 'public' } }, (_request, reply) =>
    reply.type('text/plain').send(WELCOME),
  );
  app.get('/api/v1/status', { config: { permission: 'public' } }, async () => {
    const parts = await Promise.all(
      Object.entries(deps.parts).map(async ([name, check]) => ({ name, ...(await ask(check)) })),
    );
    return { version: deps.version, parts };
  });
}

async function ask(check: PartCheck): Promise<{ readonly ok: boolean; readonly message: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${CHECK_TIMEOUT_MS / 1000} s`));
    }, CHECK_TIMEOUT_MS);
  });
  try {
    return { ok: true, message: await Promise.race([check(), late]) };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : 'it failed' };
  } finally {
    clearTimeout(timer);
  }
}
