import { Client, Connection } from '@temporalio/client';

/** Runs a pipeline again by its ids: `start.ts 127.0.0.1:7233 PLAN_ID CODE_DIGEST`. */
async function main(): Promise<void> {
  const [address = '', planId = '', codeDigest = ''] = process.argv.slice(2);
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const result: unknown = await client.workflow.execute('runPipeline', {
    taskQueue: 'anneal-control',
    workflowId: `pipeline-run/again-${Date.now()}`, // the run's id is what stands behind the slash
    args: [{ planId, codeDigest, params: { lrs: [0.5] } }],
  });
  console.log(result); // { runId, status, outputs }
  await connection.close();
}

void main();
