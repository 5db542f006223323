import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { loadConfig, environment } from '../config/config';
import { loadModule } from '../sdk/load-module';
import { isFunctionStep } from '../sdk/step';
import type { StepContext } from '../sdk/step';
import { TrackedRun } from './tracked-run';

/** Runs a TypeScript function step in the step's own process: `runner.js ./file.ts#export step.json`. */
const StepFile = z.object({
  input: z.record(z.string(), z.unknown()),
  outputs: z.record(z.string(), z.unknown()),
});
/** EX_TEMPFAIL: the step was asked to end and did, after saving; it goes on elsewhere. */
const EXIT_ASKED_TO_END = 75;

async function main(): Promise<number> {
  const [uses = '', stepFile = ''] = process.argv.slice(2);
  const [file = '', name = ''] = uses.split('#');
  const { input } = StepFile.parse(JSON.parse(readFileSync(stepFile, 'utf8')));
  const loaded = await loadModule(resolve(file));
  const step = loaded.exports[name];
  if (!isFunctionStep(step)) {
    process.stderr.write(`${file} exports no step named '${name}'.\n`);
    return 1;
  }
  const stop = new AbortController();
  process.once('SIGTERM', () => {
    stop.abort(new Error('the step was asked to end'));
  });
  const run = openTrackedRun();
  try {
    const returned: unknown = await step.run(step.in.parse(input), createContext(run, stop.signal));
    const output = step.out.parse(returned);
    await run.flush();
    writeOutputs(output);
    return 0;
  } catch (error) {
    await run.flush().catch(() => undefined);
    if (stop.signal.aborted) return EXIT_ASKED_TO_END;
    process.stderr.write(`${describeError(error)}\n`);
    return 1;
  }
}

function required(name: string): string {
  const value = environment()[name];
  if (value === undefined)
    throw new Error(`${name} is not set: the runner works inside a step only`);
  return value;
}

function openTrackedRun(): TrackedRun {
  return new TrackedRun({
    api: loadConfig().ANNEAL_API ?? required('MLFLOW_TRACKING_URI'),
    token: required('MLFLOW_TRACKING_TOKEN'),
    experiment: required('MLFLOW_EXPERIMENT_NAME'),
    name: required('ANNEAL_STEP'),
  });
}

function createContext(run: TrackedRun, signal: AbortSignal): StepContext {
  const resumeFrom = required('ANNEAL_RESUME_FROM');
  const statusFile = required('ANNEAL_STATUS_FILE');
  return {
    // points go before the checkpoint that comes after them: a resumed curve has no gap
    log: async (metrics, step = 0) => {
      await run.log(metrics, step);
      await run.flush();
    },
    progress: (fraction, message) => {
      const status = { progress: Math.min(1, Math.max(0, fraction)), message };
      writeFileSync(`${statusFile}.tmp`, JSON.stringify(status));
      renameSync(`${statusFile}.tmp`, statusFile);
    },
    output: (name) => join(required('ANNEAL_OUTPUT_DIR'), name),
    checkpointDir: required('ANNEAL_CHECKPOINT_DIR'),
    resumeFrom: resumeFrom === '' ? undefined : resumeFrom,
    signal,
  };
}

/** Plain values for the commit; artifacts are found by their place. */
function writeOutputs(output: Readonly<Record<string, unknown>>): void {
  const file = join(required('ANNEAL_OUTPUT_DIR'), 'outputs.json');
  writeFileSync(`${file}.tmp`, JSON.stringify(output));
  renameSync(`${file}.tmp`, file);
}

function describeError(error: unknown): string {
  if (error instanceof z.ZodError) {
    return `A value does not fit the step's declaration:\n${z.prettifyError(error)}`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

void main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${describeError(error)}\n`);
    process.exit(1);
  },
);
