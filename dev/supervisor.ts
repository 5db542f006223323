import { AppError, isAppError } from '../errors/app-error';
import { SupervisedChild } from './child';
import { recordChildren } from './lock';
import { tailOf } from './programs';
import type { DevSettings } from './settings';
import { describeStack, logFile } from './stack';
import type { PartName } from './stack';

/** Keeps the processes of one stack up. */
export interface Supervisor {
  /** Resolves when everything serves; DEPENDENCY_UNAVAILABLE with the end of the log if not. */
  start(): Promise<void>;
  /** Ends everything in order, within ten seconds. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
  pids(): Record<string, number>;
}
/** Together below ten seconds: workers finish what they say, requests end, the stores close. */
const GRACE_MS = { workers: 4_500, api: 3_500, stores: 1_500 };

/** The supervisor of a data folder; `say` hears what happens to its processes. */
export function createSupervisor(settings: DevSettings, say: (line: string) => void): Supervisor {
  const stack = describeStack(settings);
  const children = new Map<string, SupervisedChild>();
  const pids = (): Record<string, number> =>
    Object.fromEntries(
      [...children.values()].flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid]])),
    );
  for (const [name, spec] of Object.entries(stack)) {
    const onEvent = (event: string): void => {
      recordChildren(settings.dataDir, Object.values(pids()));
      if (event !== 'started') say(`${name} ${event}`);
    };
    children.set(name, new SupervisedChild(spec, onEvent));
  }
  const start = async (name: PartName): Promise<void> => {
    await children
      .get(name)
      ?.start()
      .catch((cause: unknown) => {
        throw startFailure(settings, { name, cause });
      });
  };
  const stop = async (name: PartName, graceMs: number): Promise<void> => {
    await children.get(name)?.stop(graceMs);
  };
  return {
    async start() {
      await Promise.all([start('temporal'), start('postgres').then(() => start('api'))]);
      await Promise.all([start('control'), start('step')]);
    },
    async stop() {
      // workers first, so that their last words still reach the api; the stores last
      await Promise.all([stop('step', GRACE_MS.workers), stop('control', GRACE_MS.workers)]);
      await stop('api', GRACE_MS.api);
      await Promise.all([stop('temporal', GRACE_MS.stores), stop('postgres', GRACE_MS.stores)]);
    },
    kill() {
      for (const child of children.values()) child.kill();
    },
    pids,
  };
}

function startFailure(
  settings: DevSettings,
  { name, cause }: { readonly name: string; readonly cause: unknown },
): AppError {
  if (isAppError(cause)) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  const file = logFile(settings, name);
  const message = `${name} did not start: ${why}. The end of ${file}:\n${tailOf(file)}`;
  return new AppError('DEPENDENCY_UNAVAILABLE', message, { cause });
}
