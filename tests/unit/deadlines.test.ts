import { deadlineProblem, parseDeadline } from '../../dag/deadlines';

const NOW = '2026-01-31T12:00:00.000Z';
const nowMs = Date.parse(NOW);

describe('a deadline', () => {
  it.each([
    ['6h', '2026-01-31T18:00:00.000Z'],
    ['+90s', '2026-01-31T12:01:30.000Z'],
    ['1.5d', '2026-02-02T00:00:00.000Z'],
    ['2026-02-01T08:30Z', '2026-02-01T08:30:00.000Z'],
    ['2026-02-01T08:30:15.5+02:00', '2026-02-01T06:30:15.500Z'],
    ['18:00Z', '2026-01-31T18:00:00.000Z'],
    ['12:00Z', '2026-02-01T12:00:00.000Z'], // now is no time to come
    ['11:59Z', '2026-02-01T11:59:00.000Z'],
    ['01:00+14:00', '2026-02-01T11:00:00.000Z'], // it is 02:00 of the next day there
    ['01:30-11:00', '2026-01-31T12:30:00.000Z'],
  ])('%s is %s', (text, time) => {
    expect(new Date(parseDeadline(text, nowMs) ?? 0).toISOString()).toBe(time);
    expect(deadlineProblem(text, nowMs)).toBeUndefined();
  });

  it.each([
    ['soon', 'is neither a time'],
    ['', 'is neither a time'],
    ['18:00', 'is neither a time'], // of which place?
    ['24:00Z', 'is neither a time'],
    ['2026-02-30T99:00Z', 'is neither a time'],
    ['2026-02-01T08:30', 'is neither a time'],
    ['++6h', 'is neither a time'],
    ['-6h', 'is neither a time'],
    ['0s', 'has passed'],
    [NOW, 'has passed'],
    ['3651d', 'more than 3650 days away'],
  ])('%s is refused', (text, why) => {
    expect(deadlineProblem(text, nowMs)).toContain(why);
  });
});
