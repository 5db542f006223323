import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import * as schedules from '../../../pipelines/schedules';
import {
  BackfillSchedule,
  PauseSchedule,
  PutSchedule,
  ScheduleName,
  SCHEDULES_MAX,
} from '../../../schemas/schedules';
import { principalOf } from '../../app';

const ByName = z.object({ name: ScheduleName });
const ListQuery = z.strictObject({
  after: z.string().max(100).default(''),
  limit: z.coerce.number().int().min(1).max(SCHEDULES_MAX).default(50),
});
/** These say nothing more; no body at all is fine. */
const Nothing = z.strictObject({}).optional();
const BASE = '/api/v1/schedules';
const read = { config: { permission: 'pipelines:read' } } as const;
const write = { config: { permission: 'pipelines:write' } } as const;

function keyOf(request: FastifyRequest): { projectId: string; name: string; actor: string } {
  const { projectId, name: actor } = principalOf(request);
  return { projectId, actor, name: ByName.parse(request.params).name };
}

/** Starting runs by the clock. */
export function registerSchedules(app: FastifyInstance, deps: schedules.ScheduleDeps): void {
  app.put(`${BASE}/:name`, write, (request) => {
    const schedule = PutSchedule.parse(request.body);
    return schedules.putSchedule(deps, keyOf(request), schedule);
  });
  app.post(`${BASE}/:name/pause`, write, (request) => {
    const { note = '' } = PauseSchedule.parse(request.body) ?? {};
    return schedules.pauseSchedule(deps, keyOf(request), { isPaused: true, note });
  });
  app.post(`${BASE}/:name/unpause`, write, (request) => {
    const { note = '' } = PauseSchedule.parse(request.body) ?? {};
    return schedules.pauseSchedule(deps, keyOf(request), { isPaused: false, note });
  });
  app.post(`${BASE}/:name/trigger`, write, (request) => {
    Nothing.parse(request.body);
    return schedules.triggerSchedule(deps, keyOf(request));
  });
  app.post(`${BASE}/:name/backfill`, write, (request) => {
    const { from, to, overlap } = BackfillSchedule.parse(request.body);
    const backfill = { from: new Date(from), to: new Date(to), overlap };
    return schedules.backfillSchedule(deps, keyOf(request), backfill);
  });
  app.delete(`${BASE}/:name`, write, async (request, reply) => {
    Nothing.parse(request.body);
    await schedules.deleteSchedule(deps, keyOf(request));
    return reply.code(204).send();
  });
  app.get(BASE, read, (request) => {
    const { projectId } = principalOf(request);
    return schedules.listSchedules(deps, { projectId, ...ListQuery.parse(request.query) });
  });
  app.get(`${BASE}/:name`, read, (request) => schedules.getSchedule(deps, keyOf(request)));
}
