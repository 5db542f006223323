import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { loadConfig, environment } from '../config/config';
import { loadModule } from '../sdk/load-module';
import { isFunctionStep } from '../sdk/step';
import type { StepContext } from '../sdk/step';
import { PROBLEM_FILE } from './failures';
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
  const step = await loadStep({ file, name }).catch((error: unknown) => error);
  if (!isFunctionStep(step)) return fail(step, { isData: true });
  const stop = new AbortController();
  process.once('SIGTERM', () => {
    stop.abort(new Error('the step was asked to end'));
  });
  const given = step.in.safeParse(input);
  if (!given.success) return fail(given.error, { isData: true });
  const run = openTrackedRun();
  try {
    const returned: unknown = await step.run(given.data, createContext(run, stop.signal));
    const output = step.out.parse(returned);
    await run.flush();
    writeOutputs(output);
    return 0;
  } catch (error) {
    await run.flush().catch(() => undefined);
    if (stop.signal.aborted) return EXIT_ASKED_TO_END;
    return fail(error, { isData: false });
  }
}

/** The step that a plan names; what is wrong with its file will be wrong in every attempt. */
async function loadStep({ file, name }: Record<'file' | 'name', string>): Promise<unknown> {
  if (!existsSync(file)) {
    throw new Error(
      `There is no file ${file} in the project: check 'uses', --code and .gitignore.`,
    );
  }
  const { exports } = await loadModule(resolve(file));
  if (isFunctionStep(exports[name])) return exports[name];
  const steps = Object.keys(exports).filter((key) => isFunctionStep(exports[key]));
  const instead = steps.length === 0 ? 'no step at all' : `only ${steps.join(', ')}`;
  throw new Error(`${file} exports no step named '${name}', ${instead}. Correct 'uses'.`);
}

/** Tells the worker why, in a sentence; the log has the whole of it. */
function fail(error: unknown, { isData }: { readonly isData: boolean }): number {
  const said = describeError(error);
  const message = error instanceof Error && !(error instanceof z.ZodError) ? error.message : said;
  process.stderr.write(`${isData ? message : said}\n`);
  const [, stepFile = ''] = process.argv.slice(2);
  writeFileSync(join(dirname(stepFile), PROBLEM_FILE), JSON.stringify({ isData, message }));
  return 1;
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
    runId: environment()['MLFLOW_RUN_ID'],
  });
}

function createContext(run: TrackedRun, signal: AbortSignal): StepContext {
  const resumeFrom = required('ANNEAL_RESUME_FROM');
  const statusFile = required('ANNEAL_STATUS_FILE');
  const cardDir = required('ANNEAL_CARD_DIR');
  return {
    // points go before the checkpoint that comes after them: a resumed curve has no gap
    log: async (metrics, step = 0) => {
      await run.log(metrics, step);
      await run.flush();
    },
    progress: (fraction, message) => {
      const status = { progress: Math.min(1, Math.max(0, fraction)), message };
      replaceFile(statusFile, JSON.stringify(status));
    },
    card: (name, content) => {
      if (typeof content === 'string') replaceFile(join(cardDir, `${name}.md`), content);
      else replaceFile(join(cardDir, `${name}.json`), JSON.stringify(content));
    },
    output: (name) => join(required('ANNEAL_OUTPUT_DIR'), name),
    checkpointDir: required('ANNEAL_CHECKPOINT_DIR'),
    resumeFrom: resumeFrom === '' ? undefined : resumeFrom,
    signal,
  };
}

/** Plain values for the commit; artifacts are found by their place. */
function writeOutputs(output: Readonly<Record<string, unknown>>): void {
  replaceFile(join(required('ANNEAL_OUTPUT_DIR'), 'outputs.json'), JSON.stringify(output));
}

/** By rename, so that nobody sees half of it. */
function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.tmp`, text);
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
