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
