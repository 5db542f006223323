import { AsyncLocalStorage } from 'node:async_hooks';

/** Temporal's sandbox gives this to its library; to be imported before anything of `@temporalio/workflow`. */
Object.assign(globalThis, { AsyncLocalStorage });
