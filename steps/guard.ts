import { execFile, spawn } from 'node:child_process';
import { environment } from '../config/config';
import type { StepUser } from './step-user';

/** Ends the guard without harming the group it watches. */
export interface Guard {
  release(): void;
}
/** How long an orphan may go on after SIGTERM: it cannot report anything to anyone any more. */
const ORPHAN_GRACE_SECONDS = 2;
/** A process that forks faster than we look is met again; five looks are no endless race. */
const SWEEPS = 5;
/** A busy machine reads the environments of a thousand processes within a second. */
const SWEEP_TIMEOUT_MS = 10_000;
/**
 * Ends every process with the mark `$m` in its environment, also one that has left the group (setsid,
 * a daemon). Where there is no /proc (macOS) it finds none; nor one that has cleared its environment.
 */
const SWEEP = `
i=0; while [ $i -lt ${SWEEPS} ]; do
  found=$(grep -lsF -- "$m" /proc/[0-9]*/environ)
  [ -n "$found" ] || break
  for file in $found; do pid=\${file#/proc/}; kill -s KILL "\${pid%/environ}" 2>/dev/null; done
  i=$((i+1))
done`;
/** Waits for the end of its input, which comes when the worker dies in whatever way. */
// `kill -s` is the form that every POSIX shell takes together with `--`
const SCRIPT = `m=$2; read _; kill -s TERM -- "-$1"; sleep ${ORPHAN_GRACE_SECONDS}; kill -s KILL -- "-$1"
[ -z "$m" ] || { ${SWEEP}
}`;

/**
 * Ends a process group when this process dies, also by SIGKILL: a step never outlives its worker.
 * `mark` as for killMarked.
 */
export function guardGroup(groupId: number, mark = ''): Guard {
  const shell = spawn('sh', ['-c', SCRIPT, 'anneal-guard', String(groupId), mark], {
    detached: true, // not in our group: it must survive us
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: environment()['PATH'] }, // not our token
  });
  shell.on('error', () => undefined); // no shell, no guard: the lease of the attempt still fences it
  shell.stdin.on('error', () => undefined);
  shell.unref();
  return {
    release: () => {
      shell.kill('SIGKILL');
    },
  };
}

/** Kills what has `mark`, a text `NAME=value`, in its environment; as `user`, who may look there. */
export function killMarked(mark: string, user: StepUser | undefined): Promise<void> {
  const options = { ...user, env: { PATH: environment()['PATH'] }, timeout: SWEEP_TIMEOUT_MS };
  return new Promise((resolve) => {
    execFile('sh', ['-c', `m=$1; ${SWEEP}`, 'anneal-sweep', mark], options, () => {
      resolve(); // what was not found is not there, or hides
    });
  });
}
