import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What stands in the command line of each part of the embedded stack. */
const MARKS = {
  step: 'workers/step.js',
  control: 'workers/control.js',
  api: 'api/main.js',
  temporal: 'start-dev',
  postgres: 'postgres',
} as const;
export type StackPart = keyof typeof MARKS;

/** The living process of a part, by the stack's data folder; none while it is being started again. */
export function pidOf(dataDir: string, part: StackPart): number | undefined {
  const children = JSON.parse(readFileSync(join(dataDir, 'children.json'), 'utf8')) as {
    readonly pid: number;
  }[];
  return children.find(({ pid }) => commandOf(pid).includes(MARKS[part]))?.pid;
}

/** The command line of a process; '' if it has ended. */
export function commandOf(pid: number | string): string {
  return readProcess(pid, 'cmdline').replaceAll('\0', ' ');
}

/** A file of /proc about a process; '' if it has ended. */
export function readProcess(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
