import { openStarter } from '../../api/starter';
import { parseConfig } from '../../config/config';
import { deliverNext } from '../../pipelines/outbox';
import { openPostgres } from '../../storage/postgres/client';

/**
 * Delivers the next event and is killed between the start of its run and the end of the transaction:
 * `node outbox-child.ts DATABASE_URL TEMPORAL_ADDRESS`.
 */
async function main(): Promise<void> {
  const [url = '', address = ''] = process.argv.slice(2);
  const starter = openStarter(parseConfig({ TEMPORAL_ADDRESS: address }));
  const startPipelineRun: typeof starter.startPipelineRun = async (input) => {
    await starter.startPipelineRun(input);
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => undefined);
  };
  const deps = { postgres: openPostgres(url), starter: { ...starter, startPipelineRun } };
  await deliverNext({ ...deps, log: () => undefined });
  process.exit(3); // nothing was started
}

void main();
