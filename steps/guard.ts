import { spawn } from 'node:child_process';
import { environment } from '../config/config';

/** Ends the guard without harming the group it watches. */
export interface Guard {
  release(): void;
}
/** How long an orphan may go on after SIGTERM: it cannot report anything to anyone any more. */
const ORPHAN_GRACE_SECONDS = 2;
/** Waits for the end of its input, which comes when the worker dies in whatever way. */
// `kill -s` is the form that every POSIX shell takes together with `--`
const SCRIPT = `read _; kill -s TERM -- "-$1"; sleep ${ORPHAN_GRACE_SECONDS}; kill -s KILL -- "-$1"`;

/** Ends a process group when this process dies, also by SIGKILL: a step never outlives its worker. */
export function guardGroup(groupId: number): Guard {
  const shell = spawn('sh', ['-c', SCRIPT, 'anneal-guard', String(groupId)], {
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
