import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { getCard, listCards, writeCard } from '../../../pipelines/cards';
import { CardName, WriteCard } from '../../../schemas/cards';
import type { ObjectDeps } from '../../../tracker/objects';
import { principalOf } from '../../app';
import { attemptOf } from './attempts';
import { ByStep } from './steps';

const ByName = ByStep.extend({ name: CardName });
const CardsQuery = z.strictObject({
  attempt: z.coerce.number().int().min(1).max(1_000_000).optional(),
});
const read = { config: { permission: 'pipelines:read' } } as const;
/** No HEAD: fastify would answer it by reading the whole card. */
const readWhole = { ...read, exposeHeadRoute: false } as const;

/** What steps write for people: cards of Markdown or JSON, which are never shown as a page. */
export function registerCards(app: FastifyInstance, deps: ObjectDeps): void {
  const self = { config: { permission: 'attempts:self' } } as const;
  app.post('/api/v1/attempts/self/cards', self, async (request) => {
    const card = WriteCard.parse(request.body);
    await writeCard(deps, { attempt: attemptOf(request), card });
    return {};
  });
  app.get('/api/v1/pipeline-runs/:id/steps/:key/cards', read, async (request) => {
    const { projectId } = principalOf(request);
    const { id: runId, key: stepKey } = ByStep.parse(request.params);
    const { attempt } = CardsQuery.parse(request.query);
    return { cards: await listCards(deps, { projectId, runId, stepKey, attempt }) };
  });
  app.get('/api/v1/pipeline-runs/:id/steps/:key/cards/:name', readWhole, async (request, reply) => {
    const { projectId } = principalOf(request);
    const { id: runId, key: stepKey, name } = ByName.parse(request.params);
    const { attempt } = CardsQuery.parse(request.query);
    const { card, body } = await getCard(deps, { projectId, runId, stepKey, name, attempt });
    const type = name.endsWith('.json') ? 'application/json' : 'text/markdown; charset=utf-8';
    return reply
      .header('content-length', card.sizeBytes)
      .header('x-content-type-options', 'nosniff')
      .header('content-security-policy', "default-src 'none'; sandbox")
      .type(type)
      .send(body);
  });
}
