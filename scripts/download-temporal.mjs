// Downloads the Temporal server of the SDK into a folder and starts it once, as proof that it works.
// A process of its own: a download that hangs can be ended.
import { createRequire } from 'node:module';

const [downloadDir = '', version = ''] = process.argv.slice(2);
try {
  const { TestWorkflowEnvironment } = createRequire(import.meta.url)('@temporalio/testing');
  const executable = { type: 'cached-download', downloadDir, version };
  const environment = await TestWorkflowEnvironment.createLocal({ server: { executable } });
  await environment.teardown();
} catch (error) {
  const [why = ''] = String(error.message).split('\n');
  console.log(`  not to be had by download: ${why.length > 160 ? `${why.slice(0, 160)}…` : why}`);
  process.exitCode = 1;
}
