import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical';
import type { Plan } from '../schemas/plan';

/** SHA-256 of the canonical JSON, 64 hex digits. Not for the workflow isolate (node:crypto). */
export function planId(plan: Plan): string {
  return createHash('sha256').update(canonicalJson(plan)).digest('hex');
}
