import { originOf } from '../../pipelines/run-origin';
import { StartPipelineRun } from '../../schemas/pipeline-runs';
import { plan, step } from '../support/plans';

const PLAN = plan([step('a')]);
const WRONG = [
  ['a short commit', { commit: 'abc123', isDirty: false }],
  ['a branch', { commit: 'main', isDirty: false }],
  ['no word on changes', { commit: 'a'.repeat(40) }],
  ['more than is known', { commit: 'a'.repeat(40), isDirty: true, branch: 'main' }],
  ['text', 'a'.repeat(40)],
] as const;

describe('the commit of a run', () => {
  it.each([40, 64])('may have %d digits', (digits) => {
    const git = { commit: 'a'.repeat(digits), isDirty: true };
    expect(originOf(PLAN, { git }).git).toEqual(git);
  });

  it('may be missing', () => {
    expect(originOf(PLAN, {}).git).toBeUndefined();
  });

  it.each(WRONG)('is refused: %s', (_, git) => {
    expect(() => originOf(PLAN, { git })).toThrow("'git' must hold the whole SHA");
    expect(StartPipelineRun.safeParse({ plan: PLAN, git }).success).toBe(false);
  });
});
