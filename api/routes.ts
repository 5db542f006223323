import type { FastifyInstance } from 'fastify';
import type { SubmitAliasChange } from '../registry/model-aliases';
import { findEngineVersion } from '../storage/clickhouse/status';
import { objectKey } from '../storage/objects/keys';
import { findServerVersion } from '../storage/postgres/status';
import { createToken } from './auth/tokens';
import type { Parts } from './parts';
import { registerMlflowArtifacts } from './routes/mlflow/artifacts';
import { registerMlflowExperiments } from './routes/mlflow/experiments';
import { registerMlflowLoggedModels } from './routes/mlflow/logged-models';
import { registerMlflowMetrics } from './routes/mlflow/metrics';
import { registerMlflowModelVersions } from './routes/mlflow/model-versions';
import { registerMlflowRegisteredModels } from './routes/mlflow/registered-models';
import { registerMlflowRuns } from './routes/mlflow/runs';
import { registerMlflowServer } from './routes/mlflow/server';
import { registerArtifacts } from './routes/v1/artifacts';
import { registerAttempts } from './routes/v1/attempts';
import { registerCards } from './routes/v1/cards';
import { registerCodeFiles } from './routes/v1/code-files';
import { registerHooks } from './routes/v1/hooks';
import { registerLineage } from './routes/v1/lineage';
import { registerDeployments } from './routes/v1/deployments';
import { registerModels } from './routes/v1/models';
import { registerObjects } from './routes/v1/objects';
import { registerPatches } from './routes/v1/patches';
import { registerPipelineRuns } from './routes/v1/pipeline-runs';
import { registerRunEvents } from './routes/v1/run-events';
import { registerSteps } from './routes/v1/steps';
import { registerSchedules } from './routes/v1/schedules';
import { registerStatus, type PartCheck } from './routes/v1/status';

const VERSION = '0.1.0';
/** An object that nobody has: asking for it shows that the store answers. */
const NO_OBJECT = objectKey('default', '0'.repeat(64));

/** Mounts every route of the api: the whole surface, in one list. */
export function registerRoutes(app: FastifyInstance, parts: Parts): void {
  const { starter } = parts;
  const changeAlias: SubmitAliasChange = (projectId, model, change) =>
    starter.changeAlias(projectId, model, change);
  const registry = { ...parts, changeAlias };
  registerMlflowServer(app);
  registerMlflowExperiments(app, parts);
  registerMlflowRuns(app, parts);
  registerMlflowMetrics(app, parts);
  registerMlflowArtifacts(app, parts);
  registerMlflowLoggedModels(app);
  registerMlflowRegisteredModels(app, registry);
  registerMlflowModelVersions(app, registry);
  registerModels(app, registry);
  registerArtifacts(app, parts);
  registerObjects(app, parts);
  registerCodeFiles(app, parts);
  registerPipelineRuns(app, parts);
  registerPatches(app, parts);
  registerRunEvents(app, parts);
  registerSteps(app, parts);
  registerSchedules(app, parts);
  registerLineage(app, parts);
  registerDeployments(app, { ...parts, createToken });
  registerHooks(app, parts);
  registerAttempts(app, { ...parts, createToken });
  registerCards(app, parts);
  registerStatus(app, { version: VERSION, parts: checksOf(parts) });
}

function checksOf(parts: Parts): Readonly<Record<string, PartCheck>> {
  const { describeCurrentBuild } = parts.starter;
  return {
    postgres: async () => `version ${await findServerVersion(parts.postgres)}`,
    clickhouse: async () => {
      const version = await findEngineVersion(parts.clickhouse);
      await parts.metrics.settle(); // every acknowledged point can be read
      return `version ${version}`;
    },
    objects: async () => {
      await parts.objects.head(NO_OBJECT);
      return 'answers';
    },
    temporal: async () => {
      await parts.starter.ping();
      return 'answers';
    },
    ...(describeCurrentBuild !== undefined && { workers: describeCurrentBuild }),
  };
}
