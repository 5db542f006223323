/**
 * The model registry over HTTP, ours and stock MLflow's by turns, by the same client:
 *   npm run bench -- registry [--peer PATH/TO/mlflow] [--times 3] [--versions 200]
 * Creating versions by 8 clients over 10 models, setting one alias by 16 clients at once, reading it.
 */
import { parseArgs } from 'node:util';
import { buildOnce } from '../tests/support/dev-stack';
import { printRows, seconds, type Figure } from './report';
import { call, startServers, stopServers, type Server } from './servers';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    times: { type: 'string', default: '3' },
    versions: { type: 'string', default: '200' },
  },
});
const MODELS = 10;
const CLIENTS = 8;
const ALIAS_CLIENTS = 16;
const command = 'npm run bench -- registry';

interface Measured {
  readonly perSecond: number;
  readonly tookMs: readonly number[];
}

/** `count` calls by so many clients, each sending the next when the last was answered. */
async function repeat(
  { clients, count }: { readonly clients: number; readonly count: number },
  one: (n: number) => Promise<unknown>,
): Promise<Measured> {
  const tookMs: number[] = [];
  const start = performance.now();
  let next = 0;
  const client = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      const sent = performance.now();
      await one(n);
      tookMs.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { perSecond: count / seconds(start), tookMs };
}

/** One turn of every scenario on models of its own. */
async function measure(server: Server): Promise<Readonly<Record<string, Measured>>> {
  const names = Array.from({ length: MODELS }, (_, i) => `bench-${i}-${Date.now()}`);
  for (const name of names) await call(server, 'registered-models/create', { name });
  const count = Number(values.versions);
  const created = await repeat({ clients: CLIENTS, count }, (n) => {
    const body = { name: names[n % MODELS], source: server.source };
    return call(server, 'model-versions/create', body);
  });
  const [name = ''] = names;
  const alias = { name, alias: 'champion' };
  const versions = Math.floor(count / MODELS);
  // the first set alone: stock answers 400 to some of several that are the first at once
  await call(server, 'registered-models/alias', { ...alias, version: '1' });
  const set = await repeat({ clients: ALIAS_CLIENTS, count }, (n) =>
    call(server, 'registered-models/alias', { ...alias, version: String(1 + (n % versions)) }),
  );
  const read = await repeat({ clients: CLIENTS, count: count * 2 }, () =>
    call(server, `registered-models/alias?name=${name}&alias=champion`),
  );
  return { 'create a version': created, 'set one alias': set, 'read by alias': read };
}

async function main(): Promise<void> {
  buildOnce();
  const servers: Server[] = [];
  try {
    await startServers(servers, values.peer);
    for (const server of servers) await measure(server); // warm-up
    const turns = servers.map((): Readonly<Record<string, Measured>>[] => []);
    for (let i = 0; i < Number(values.times); i++) {
      for (const [at, server] of servers.entries()) turns[at]?.push(await measure(server));
    }
    printRows(
      Object.keys(turns[0]?.[0] ?? {}).flatMap((scenario) =>
        servers.flatMap(({ name }, at): Figure[] => {
          const what = `${name}: ${scenario}`;
          const all = turns[at]?.map((turn) => turn[scenario] ?? { perSecond: 0, tookMs: [] });
          const rates = all?.map(({ perSecond }) => perSecond) ?? [];
          const took = all?.flatMap(({ tookMs }) => tookMs) ?? [];
          return [
            { what, unit: 'calls/s', samples: rates, command },
            { what, unit: 'ms', samples: took, command },
          ];
        }),
      ),
    );
  } finally {
    await stopServers(servers);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
