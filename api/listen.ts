import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config';
import { AppError } from '../errors/app-error';

/** Requests that run at the stop get this long; the supervisor ends us after six seconds. */
const CLOSE_TIMEOUT_MS = 3_000;

/** Listens where the configuration says; CONFIG_INVALID if the port is taken. Gives the address. */
export async function listen(
  app: FastifyInstance,
  config: Pick<Config, 'ANNEAL_HOST' | 'ANNEAL_PORT'>,
): Promise<string> {
  const { ANNEAL_HOST: host, ANNEAL_PORT: port } = config;
  return app.listen({ host, port }).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const why = {
      EADDRINUSE: 'is in use',
      EACCES: 'needs more rights',
      EADDRNOTAVAIL: 'is not ours',
    };
    const reason = why[code as keyof typeof why] as string | undefined;
    if (reason === undefined) throw cause;
    const message = `ANNEAL_PORT: the address ${host}:${port} ${reason}.`;
    throw new AppError('CONFIG_INVALID', message, { cause });
  });
}

/** Stops taking requests and lets the running ones end, up to three seconds. */
export async function stopListening(app: FastifyInstance): Promise<void> {
  const timer = setTimeout(() => {
    app.server.closeAllConnections();
  }, CLOSE_TIMEOUT_MS);
  await app.close();
  clearTimeout(timer);
}
