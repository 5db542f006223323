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
