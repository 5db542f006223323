import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { AppError } from '../errors/app-error';
import type { Permission, Principal } from '../schemas/tokens';
import { sendError } from './errors';
import { acceptJson } from './json-body';

/**
 * What a route must say about who may call it. `public` needs no caller at all; a signed URL and the token of
 * a hook are looked at by their routes.
 */
export type RoutePermission = Permission | 'public' | 'signed-url' | 'hook-token';

declare module 'fastify' {
  interface FastifyContextConfig {
    permission?: RoutePermission;
  }
  interface FastifyRequest {
    principal: Principal | undefined;
  }
}

/** 16 MiB: a plan (2 MiB), a metric batch or 1,000 log lines of 16 KiB fit; uploads are streamed. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Idle sockets close after this, so that a shutdown never waits for a forgotten client. */
const KEEP_ALIVE_TIMEOUT_MS = 5_000;

export interface AppOptions {
  /** Finds out who calls, or throws UNAUTHENTICATED, FORBIDDEN_ORIGIN. */
  readonly authenticate: (request: FastifyRequest) => Promise<Principal>;
  /** Mounts routes. A registrar per noun: `routes/v1/<noun>.ts`, `routes/mlflow/<noun>.ts`. */
  readonly routes: (app: FastifyInstance) => void | Promise<void>;
  readonly log?: (line: Record<string, unknown>) => void;
}

/** Builds the api; it does not listen. Throws if any route declares no permission. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    routerOptions: { maxParamLength: 2000 },
    forceCloseConnections: 'idle',
    requestIdHeader: false,
    genReqId: () => crypto.randomUUID(),
    // a path that cannot be read never comes to a route
    frameworkErrors: (error, request, reply) => void sendError({ error, request, reply }),
  });
  acceptJson(app);
  app.decorateRequest('principal', undefined);
  app.addHook('onRoute', (route) => {
    if (route.config?.permission === undefined) {
      throw new Error(`route ${String(route.method)} ${route.url} declares no permission`);
    }
  });
  app.addHook('onRequest', async (request) => {
    if (request.is404) return;
    const permission = request.routeOptions.config.permission;
    if (permission === 'public' || permission === 'signed-url' || permission === 'hook-token')
      return;
    const principal = await options.authenticate(request);
    request.principal = principal;
    if (permission === undefined || !principal.permissions.has(permission)) {
      const message = `The ${principal.kind} '${principal.name}' lacks the permission '${String(permission)}'.`;
      throw new AppError('PERMISSION_DENIED', message);
    }
  });
  app.setErrorHandler((error, request, reply) => sendError({ error, request, reply }, options.log));
  app.setNotFoundHandler((request, reply) => {
    const error = new AppError('ROUTE_NOT_FOUND', `No route ${request.method} ${request.url}.`);
    return sendError({ error, request, reply }, options.log);
  });
  await options.routes(app);
  return app;
}

/** The caller of a route that is not public. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined) throw new AppError('UNAUTHENTICATED', 'Nobody is calling.');
  return request.principal;
}
