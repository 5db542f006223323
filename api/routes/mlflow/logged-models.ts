import type { FastifyInstance } from 'fastify';
import { mountMlflow } from './wire';

/**
 * Mounts logged-models/search. Clients ask it whenever they list a run's artifacts; no route makes a
 * logged model in this version, so there are none to be found.
 */
export function registerMlflowLoggedModels(app: FastifyInstance): void {
  mountMlflow(app, {
    method: 'POST',
    path: 'logged-models/search',
    permission: 'runs:read',
    table: {},
    handler: () => Promise.resolve({ models: [] }),
  });
}
