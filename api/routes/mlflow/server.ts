import type { FastifyInstance } from 'fastify';

/** The MLflow version whose REST API is followed; clients compare it (PEP 440). */
const MLFLOW_VERSION = '3.11.1';

/** Mounts /health, /version and server-info. */
export function registerMlflowServer(app: FastifyInstance): void {
  const open = { config: { permission: 'public' } } as const;
  app.get('/health', open, (_request, reply) => reply.type('text/plain').send('OK'));
  app.get('/version', open, (_request, reply) => reply.type('text/plain').send(MLFLOW_VERSION));
  for (const prefix of ['/api/3.0/mlflow', '/ajax-api/3.0/mlflow']) {
    app.get(`${prefix}/server-info`, open, () => ({
      store_type: 'SqlStore',
      workspaces_enabled: false,
    }));
  }
}
