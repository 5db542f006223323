import { AppError } from '../errors/app-error';
import type { Config } from './config';

/** How to reach Temporal: plain on a private network, TLS when there is an api key (Cloud). */
export function temporalConnection(config: Config): {
  address: string;
  tls?: true;
  apiKey?: string;
} {
  const { TEMPORAL_ADDRESS: address, TEMPORAL_API_KEY: apiKey } = config;
  return apiKey === undefined ? { address } : { address, tls: true, apiKey };
}

/** How a worker packs its calls: on one machine that costs CPU at both ends and saves nothing. */
export function workerCodec({ TEMPORAL_ADDRESS: address }: Config): 'gzip' | 'none' {
  return /^(127\.|localhost:|\[::1\])/.test(address) ? 'none' : 'gzip';
}

/** What this control worker is registered as; undefined without a worker deployment. */
export function workerVersion(
  config: Config,
): { readonly deploymentName: string; readonly buildId: string } | undefined {
  const { ANNEAL_WORKER_DEPLOYMENT: deploymentName, ANNEAL_BUILD_ID: buildId } = config;
  if (deploymentName === undefined && buildId === undefined) return undefined;
  if (deploymentName !== undefined && buildId !== undefined) return { deploymentName, buildId };
  const why = 'the one names the deployment of the control workers, the other the code of this one';
  const message = `Set ANNEAL_WORKER_DEPLOYMENT and ANNEAL_BUILD_ID together, or neither: ${why}.`;
  throw new AppError('CONFIG_INVALID', message);
}
