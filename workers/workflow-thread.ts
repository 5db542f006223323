import v8 from 'node:v8';
import { isMainThread } from 'node:worker_threads';

/**
 * Loaded before the control worker (`node --require`), and by Node before each of its threads, too: the
 * SDK interprets workflows in one. There it would keep a stack trace of every promise of every workflow
 * for the query `__stack_trace`, which was half of what the thread allocated. Workflows run the same
 * without; the query answers with no stacks.
 */
if (!isMainThread) v8.promiseHooks.createHook = () => () => undefined;
