import { describeProgress, describeRun, describeSeconds } from '../../cli/run-text';
import type { PipelineRun, Progress } from '../../schemas/pipeline-runs';

const run: PipelineRun = {
  id: 'r',
  planId: 'p',
  pipeline: 'digits',
  params: {},
  codeDigest: null,
  git: null,
  trigger: null,
  status: 'running',
  reason: null,
  isPaused: false,
  priority: 3,
  deadline: null,
  resumedFrom: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: null,
};
const progress: Progress = {
  fraction: null,
  etaSeconds: null,
  message: null,
  metrics: {},
  at: '2026-01-01T00:00:00.000Z',
};

describe('a run in one line', () => {
  it('says what is unusual only', () => {
    expect(describeRun(run)).toBe('digits running');
    expect(describeRun({ ...run, isPaused: true, priority: 1 })).toBe(
      'digits running (paused), priority 1',
    );
    const endedAt = run.createdAt;
    expect(describeRun({ ...run, isPaused: true, status: 'cancelled', endedAt })).toBe(
      'digits cancelled',
    );
  });
});

describe('the deadline of a run', () => {
  const deadline = '2026-01-01T01:00:00.000Z';
  const at = (time: string, more: Partial<PipelineRun> = {}): string =>
    describeRun({ ...run, deadline, ...more }, Date.parse(time));

  it('is said as long as the run is open, and how late it is', () => {
    expect(at('2026-01-01T01:00:00.000Z')).toBe(`digits running, due at ${deadline}`);
    expect(at('2026-01-01T01:20:00.000Z')).toBe(
      `digits running, late by 20 min: due at ${deadline}`,
    );
  });

  it('is said of a run that has ended only if that was late', () => {
    const ended = { status: 'succeeded', endedAt: '2026-01-01T00:59:00.000Z' } as const;
    expect(at('2026-01-02T00:00:00.000Z', ended)).toBe('digits succeeded');
    const late = { ...ended, endedAt: '2026-01-01T01:00:30.000Z' };
    expect(at('2026-01-02T00:00:00.000Z', late)).toContain(', late by 30 s: due at');
  });
});

describe('progress in one cell', () => {
  it('joins what the step has said', () => {
    expect(describeProgress(null)).toBe('');
    expect(describeProgress(progress)).toBe('');
    expect(describeProgress({ ...progress, message: 'epoch 4' })).toBe('epoch 4');
    const all = { ...progress, fraction: 0.999, etaSeconds: 150, message: 'epoch 4' };
    expect(describeProgress(all)).toBe('99 %, 2 min left, epoch 4');
  });
});

describe('a length of time', () => {
  it.each([
    [0.4, '0 s'],
    [59.9, '59 s'],
    [60, '1 min'],
    [3_600, '1 h'],
    [172_799, '47 h'],
    [172_800, '2 d'],
  ])('%d s is %s', (seconds, text) => {
    expect(describeSeconds(seconds)).toBe(text);
  });
});
