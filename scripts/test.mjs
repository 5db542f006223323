// Runs every check and test in the order of their cost; the last line sums them up for CI.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const RUNNERS = ['unit', 'storage', 'workflow', 'end-to-end'];
const scratch = mkdtempSync(join(tmpdir(), 'anneal-test-'));
let passed = 0;
let failed = 0;

const check = spawnSync(process.execPath, ['scripts/check.mjs'], { stdio: 'inherit' });
if (check.status === 0) passed += 1;
else failed += 1;

for (const runner of RUNNERS) {
  const report = join(scratch, `${runner}.json`);
  const args = [
    '--no-install',
    'jest',
    '--selectProjects',
    runner,
    '--json',
    '--outputFile',
    report,
  ];
  const started = Date.now();
  const run = spawnSync('npx', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const counts = readCounts(report);
  if (counts === undefined || (run.status !== 0 && counts.failed === 0)) failed += 1;
  passed += counts?.passed ?? 0;
  failed += counts?.failed ?? 0;
  const seconds = Math.round((Date.now() - started) / 1000);
  const text =
    counts === undefined ? 'did not finish' : `${counts.passed} passed, ${counts.failed} failed`;
  console.log(`${runner}: ${text} (${seconds} s)`);
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function readCounts(file) {
  try {
    const json = JSON.parse(readFileSync(file, 'utf8'));
    const broken = json.testResults.filter(
      (r) => r.status === 'failed' && r.assertionResults.length === 0,
    );
    return { passed: json.numPassedTests, failed: json.numFailedTests + broken.length };
  } catch {
    return undefined;
  }
}
