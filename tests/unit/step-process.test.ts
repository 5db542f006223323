import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildSync } from 'esbuild';
import { classifyEnd } from '../../steps/failures';
import type { StopCause } from '../../steps/failures';
import { startProcess } from '../../steps/process';
import type { ProcessEnd, StepProcess } from '../../steps/process';

const ENV = { PATH: process.env['PATH'] ?? '' };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-step-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function start(script: string): { process: StepProcess; lines: string[] } {
  const lines: string[] = [];
  const started = startProcess({
    argv: ['sh', '-c', script],
    cwd: folder,
    env: ENV,
    onLine: (stream, text) => lines.push(`${stream}: ${text}`),
  });
  return { process: started, lines };
}

function isAlive(pid: number): boolean {
  try {
    // a zombie whose parent has not read its end counts as gone
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i += 1) await sleep(25);
  expect(condition()).toBe(true);
}
function readPid(name: string): number {
  try {
    return Number(readFileSync(join(folder, name), 'utf8'));
  } catch {
    return 0;
  }
}

describe("a step's process", () => {
  it('delivers every line of both streams, also one without an end', async () => {
    const { process: step, lines } = start('echo one; echo two >&2; printf three');
    expect(await step.ended).toMatchObject({ code: 0, terminated: false });
    expect([...lines].sort()).toEqual(['stderr: two', 'stdout: one', 'stdout: three']);
  });

  it('gets SIGTERM first and may end in order', async () => {
    const { process: step, lines } = start(
      'trap "echo saved; exit 75" TERM; echo up; while :; do sleep 0.05; done',
    );
    await until(() => lines.length > 0);
    step.terminate(10_000);
    expect(await step.ended).toMatchObject({ code: 75, terminated: true });
    expect(lines).toContain('stdout: saved');
  });

  it('is killed with its children when the grace is over', async () => {
    const { process: step } = start(
      'trap "" TERM; sh -c "trap \'\' TERM; echo $$ > child; sleep 60" & wait; wait; sleep 60',
    );
    await until(() => readPid('child') > 0);
    step.terminate(200);
    expect(await step.ended).toMatchObject({ signal: 'SIGKILL', terminated: true });
    const child = readPid('child');
    await until(() => !isAlive(child));
  });

  it('leaves no process behind when it ends well', async () => {
    const { process: step } = start('sleep 60 & echo $! > child; exit 0');
    await step.ended;
    const child = readPid('child');
    expect(child).toBeGreaterThan(0);
    await until(() => !isAlive(child));
  });

  it('never outlives a worker that is killed by SIGKILL, nor does a daemon of it', async () => {
    const worker = join(folder, 'worker.js');
    buildSync({
      stdin: {
        contents: `
          import { startProcess } from './steps/process';
          startProcess({ argv: ['sh', '-c', 'setsid sh -c "echo \\\\$\\\\$ > daemon; exec sleep 60" & echo $$ > step; exec sleep 60'],
            cwd: ${JSON.stringify(folder)}, mark: 'MARK=${folder}',
            env: { PATH: process.env.PATH, MARK: '${folder}' }, onLine() {} });`,
        resolveDir: join(__dirname, '../..'),
        loader: 'ts',
      },
      bundle: true,
      platform: 'node',
      outfile: worker,
    });
    const parent = spawn(process.execPath, [worker], { stdio: 'ignore' });
    await until(() => readPid('step') > 0 && readPid('daemon') > 0);
    const step = readPid('step');
    await sleep(100); // the guard is started right behind the step
    expect(isAlive(step)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !isAlive(step));
    await until(() => !isAlive(readPid('daemon')));
  });
});

describe('the class of an end', () => {
  const ended = (end: Partial<ProcessEnd>): ProcessEnd => ({
    code: null,
    signal: null,
    terminated: false,
    outlivedGrace: false,
    ...end,
  });
  const classOf = (end: Partial<ProcessEnd>, cause?: StopCause): string | undefined =>
    classifyEnd(ended(end), { command: 'train', node: 'n1', cause, oomKills: 0 })?.failureClass;

  it.each<[string, Partial<ProcessEnd>, StopCause | undefined, string | undefined]>([
    ['exit 0', { code: 0 }, undefined, undefined],
    ['exit 1', { code: 1 }, undefined, 'crash'],
    ['a signal', { signal: 'SIGSEGV' }, undefined, 'crash'],
    ['exit 75', { code: 75 }, undefined, 'preempted'],
    ['exit 143 after our SIGTERM', { code: 143, terminated: true }, 'preempted', 'preempted'],
    [
      'SIGKILL after our SIGTERM',
      { signal: 'SIGKILL', terminated: true },
      'preempted',
      'preempted',
    ],
    ['its timeout', { signal: 'SIGTERM', terminated: true }, 'timeout', 'timeout'],
  ])('%s', (...[, end, cause, expected]) => {
    expect(classOf(end, cause)).toBe(expected);
  });

  it('names a command that is not there, and the node', async () => {
    const step = startProcess({
      argv: ['no-such-command'],
      cwd: folder,
      env: ENV,
      onLine: () => undefined,
    });
    const failure = classifyEnd(await step.ended, {
      command: 'no-such-command',
      node: 'n1',
      cause: undefined,
      oomKills: 0,
    });
    expect(failure).toMatchObject({
      failureClass: 'crash',
      reason: 'no-such-command: command not found on node n1',
    });
  });
});
