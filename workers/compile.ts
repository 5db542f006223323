import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AppError, type Problem } from '../errors/app-error';
import type { Plan } from '../schemas/plan';
import { compileWritten } from '../sdk/pipeline-yaml';

/** What the thread answers. */
export type CompileReply =
  { readonly plan: Plan } | { readonly message: string; readonly problems: readonly Problem[] };

/** Read at once: the worst text of this size takes a fifth of a second, a thread about as long to start. */
const SMALL_CHARS_MAX = 64 * 1024;
/** The worst texts of 2 MiB take five; an activity has thirty. */
const SECONDS_MAX = 15;
const MEMORY_MIB_MAX = 512;
/** A text takes a core while it is read. */
const AT_ONCE_MAX = 2;

/**
 * Compiles pipelines that steps have written; a large one in a thread, so that a hostile text holds up
 * nothing but itself. INVALID_PLAN with its problems, or if it takes too long or too much memory.
 */
export function createCompiler(program = join(__dirname, 'compile-thread.js')) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (text: string): Promise<Plan> => {
    if (text.length <= SMALL_CHARS_MAX) return compileWritten(text);
    if (running >= AT_ONCE_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return planOf(await compileInThread(program, text));
    } finally {
      const next = waiting.shift(); // takes over the place
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

function planOf(reply: CompileReply): Plan {
  if ('plan' in reply) return reply.plan;
  throw new AppError('INVALID_PLAN', reply.message, { problems: reply.problems });
}

function compileInThread(program: string, text: string): Promise<CompileReply> {
  return new Promise((resolve) => {
    const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MIB_MAX };
    const thread = new Worker(program, { workerData: text, resourceLimits });
    const end = (reply: CompileReply): void => {
      clearTimeout(timer);
      resolve(reply); // the first one counts
      void thread.terminate();
    };
    const refuse = (message: string): void => {
      end({ message: `The pipeline ${message}`, problems: [{ path: 'the file', message }] });
    };
    const timer = setTimeout(() => {
      refuse(`takes longer than ${SECONDS_MAX} s to be read.`);
    }, SECONDS_MAX * 1000);
    thread.once('message', end);
    thread.once('error', (error) => {
      refuse(`cannot be read: ${error.message}.`);
    });
    thread.once('exit', () => {
      refuse('cannot be read: the thread that did so has ended.');
    });
  });
}
