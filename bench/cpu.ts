import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second (USER_HZ, the same on every architecture we run on). */
const TICKS_PER_SECOND = 100;

interface Used {
  readonly parent: number;
  /** Its own and its collected children's. */
  readonly seconds: number;
}

function readProcesses(): Map<number, Used> {
  const processes = new Map<number, Used>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // behind the name, which may hold anything: state, parent, …, utime, stime, cutime, cstime
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
      processes.set(Number(name), { parent: Number(fields[1]), seconds: ticks / TICKS_PER_SECOND });
    } catch {
      // it ended between the two reads
    }
  }
  return processes;
}

/** CPU seconds of a process and all below it since their start; other work changes them far less than a time. */
export function cpuSeconds(pid: number): number {
  const processes = readProcesses();
  const sum = (of: number): number => {
    let seconds = processes.get(of)?.seconds ?? 0;
    for (const [child, { parent }] of processes) if (parent === of) seconds += sum(child);
    return seconds;
  };
  return sum(pid);
}
