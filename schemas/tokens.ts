import { z } from 'zod';

/** Every permission that a route may ask for. */
export const Permission = z.enum([
  'experiments:read',
  'experiments:write', // make new ones
  'experiments:manage', // rename, tag, delete, restore
  'runs:read',
  'runs:write',
  'artifacts:read',
  'artifacts:write',
  'models:read',
  'models:write',
  'pipelines:read',
  'pipelines:write',
  'attempts:begin', // nodes
  'attempts:self', // one attempt, for itself
]);
export type Permission = z.infer<typeof Permission>;

/** Who is calling, once it is known. `attempt` is set for a step's own token only. */
export interface Principal {
  readonly kind: 'local' | 'user' | 'node' | 'attempt' | 'hook';
  readonly name: string;
  readonly projectId: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly attempt?: { readonly runId: string; readonly stepKey: string; readonly attempt: number };
}
