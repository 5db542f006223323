import { plan, step } from './plans';
import { ATTEMPT } from './whole-api';

const DIGEST = 'a'.repeat(64);
const MANIFEST = [{ path: 'model.bin', digest: DIGEST, sizeBytes: 1 }];
/** A body that each route of ours takes; whoever adds a route adds one here. */
export const GOOD_BODIES: Readonly<Record<string, object>> = {
  'POST /api/v1/artifacts': { kind: 'model', manifest: MANIFEST },
  'POST /api/v1/objects/plan': { objects: [{ digest: DIGEST, sizeBytes: 1 }] },
  'POST /api/v1/code-files': { codeDigest: DIGEST, files: { 'train.py': DIGEST } },
  'POST /api/v1/pipeline-runs': {
    plan: plan([step('a', { env: { A: '1' }, with: { n: 'x' } })], { lr: { type: 'number' } }),
    ...{ params: { lr: 1 }, codeDigest: DIGEST, runKey: 'nightly', deadline: '6h' },
    git: { commit: 'c'.repeat(40), isDirty: true, patchDigest: DIGEST },
  },
  'POST /api/v1/pipeline-runs/:id/cancel': {},
  'POST /api/v1/pipeline-runs/:id/control': { action: 'pause', reason: 'x' },
  'POST /api/v1/pipeline-runs/:id/resume': {
    ...{ from: 'a', codeDigest: DIGEST, dryRun: true },
    git: { commit: 'c'.repeat(40), isDirty: false },
  },
  'PUT /api/v1/schedules/:name': {
    plan: plan([step('a')], { lr: { type: 'number' } }),
    ...{ params: { lr: 1 }, codeDigest: DIGEST, cron: '@daily', timezone: 'UTC', overlap: 'skip' },
    ...{ catchUpSeconds: 60, jitterSeconds: 1, paused: true, note: 'x' },
    git: { commit: 'c'.repeat(40), isDirty: false },
  },
  'POST /api/v1/schedules/:name/pause': { note: 'x' },
  'POST /api/v1/schedules/:name/unpause': { note: 'x' },
  'POST /api/v1/schedules/:name/trigger': {},
  'POST /api/v1/schedules/:name/backfill': {
    ...{ from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', overlap: 'allow' },
  },
  'DELETE /api/v1/schedules/:name': {},
  'PUT /api/v1/pipelines/:name': {
    plan: plan([step('a')], { lr: { type: 'number' } }),
    ...{ params: { lr: 1 }, codeDigest: DIGEST, git: { commit: 'c'.repeat(40), isDirty: false } },
    triggers: { schedule: { cron: '@daily', timezone: 'UTC', overlap: 'skip' } },
    dryRun: true,
  },
  'DELETE /api/v1/pipelines/:name': {},
  'POST /api/v1/pipelines/:name/hook-token': {},
  'POST /api/v1/pipelines/:name/runs': { params: { lr: 1 }, runKey: 'nightly', priority: 3 },
  'PUT /api/v1/models/:name/aliases/:alias': {
    ...{ version: 1, expectedVersion: 2, reason: 'better', idempotencyKey: 'k' },
  },
  'POST /api/v1/attempts': { ...ATTEMPT, node: 'n1' },
  'POST /api/v1/attempts/self/logs': {
    lines: [{ seq: 0, at: '2026-01-01T00:00:00Z', stream: 'stdout', text: 'x' }],
  },
  'POST /api/v1/attempts/self/progress': {
    ...{ fraction: 0.5, etaSeconds: 1, message: 'half', metrics: { loss: 1 } },
  },
  'POST /api/v1/attempts/self/environment': {
    ...{
      command: 'python train.py',
      codeDigest: DIGEST,
      seed: 1,
      os: 'Linux',
      cpu: 'x',
      node: 'v20',
    },
    ...{ memoryBytes: 1, python: { version: '3.12', digest: DIGEST, packages: ['numpy==2.0'] } },
    ...{ gpus: ['A100'], variables: { LANG: 'C' } },
  },
  'POST /api/v1/attempts/self/cards': { name: 'report.md', text: '# half' },
  'POST /api/v1/attempts/self/checkpoints': { name: 'c1', manifest: MANIFEST },
  'POST /api/v1/attempts/self/older-checkpoint': { unusable: [DIGEST] },
  'POST /api/v1/attempts/self/commit': { artifacts: { model: MANIFEST }, values: { n: 1 } },
  'POST /api/v1/attempts/self/fail': { failureClass: 'crash', reason: 'x', exitCode: 1 },
};
