import { Permission } from '../../schemas/tokens';

/** What a node may do: begin attempts and move the bytes of code, inputs and outputs. */
export const NODE_PERMISSIONS: ReadonlySet<Permission> = new Set<Permission>([
  'attempts:begin',
  'artifacts:read',
  'artifacts:write',
]);

/** What a step's own code may do: track itself, read models, speak for its attempt; no more. */
export const ATTEMPT_PERMISSIONS: ReadonlySet<Permission> = new Set<Permission>([
  'experiments:read',
  'experiments:write',
  'runs:read',
  'runs:write',
  'artifacts:read',
  'artifacts:write',
  'models:read',
  'attempts:self',
]);

/** All that a person may do: everything except what belongs to nodes and attempts. */
export const USER_PERMISSIONS: ReadonlySet<Permission> = new Set(
  Permission.options.filter((permission) => !permission.startsWith('attempts:')),
);
