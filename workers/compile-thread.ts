import { parentPort, workerData } from 'node:worker_threads';
import { isAppError } from '../errors/app-error';
import { compileWritten } from '../sdk/pipeline-yaml';
import type { CompileReply } from './compile';

/** More are not read; hundreds of thousands would take longer to send than to find. */
const PROBLEMS_MAX = 100;

/** Compiles the one text that the thread was started for. */
function compile(text: string): CompileReply {
  try {
    return { plan: compileWritten(text) };
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { message: error.message, problems: error.problems.slice(0, PROBLEMS_MAX) };
  }
}

parentPort?.postMessage(compile(workerData as string));
