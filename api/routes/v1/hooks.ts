import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError } from '../../../errors/app-error';
import { startByHook } from '../../../pipelines/hooks';
import type { PipelineRunStart } from '../../../pipelines/pipeline-runs';
import type { Sql } from '../../../storage/postgres/client';
import { findToken } from '../../../storage/postgres/tokens';
import { principalOf } from '../../app';
import { tokenOf } from '../../auth/authenticate';
import { hashToken, parseToken } from '../../auth/tokens';

/** A notice of what has happened; data belong into a store that it names. */
const BODY_BYTES_MAX = 64 * 1024;
const DeliveryKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 characters without blanks')
  .optional();
const ByName = z.object({ name: z.string() });

/** Calls of others that start a run; each hook has a token that is good for nothing else. */
export function registerHooks(app: FastifyInstance, deps: PipelineRunStart): void {
  const route = {
    config: { permission: 'hook-token' },
    bodyLimit: BODY_BYTES_MAX,
    // before a byte of the body is read
    onRequest: async (request: FastifyRequest) => {
      request.principal = await authenticate(deps.postgres, request);
    },
  } as const;
  app.post('/api/v1/hooks/:name', route, async (request, reply) => {
    const { projectId, name } = principalOf(request);
    const { id } = await startByHook(
      deps,
      { projectId, name },
      { body: request.body ?? {}, delivery: deliveryOf(request) },
    );
    return reply.code(202).send({ runId: id });
  });
}

/** The same answer for a token that is none, one of another hook, and a hook that does not exist. */
async function authenticate(
  postgres: Sql,
  request: FastifyRequest,
): Promise<FastifyRequest['principal']> {
  const { authorization, 'x-anneal-token': own } = request.headers;
  const text = authorization === undefined ? String(own ?? '') : tokenOf(authorization);
  const { name } = ByName.parse(request.params);
  const token =
    parseToken(text)?.kind === 'hook' ? await findToken(postgres, hashToken(text)) : undefined;
  if (token?.kind !== 'hook' || token.name !== name) {
    throw new AppError('UNAUTHENTICATED', 'The request carries no token of this hook.');
  }
  return { kind: 'hook', name, projectId: token.projectId, permissions: new Set() };
}

/** Whoever delivers a notice again sends the same key. */
function deliveryOf({ headers }: FastifyRequest): string | undefined {
  return DeliveryKey.parse(headers['idempotency-key'] ?? headers['x-github-delivery']);
}
