// The shell command from a clone: says what to do where it has not been set up yet.
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error('error: This clone has not been set up yet.\n  Run: npm run setup');
  process.exitCode = 1;
}
