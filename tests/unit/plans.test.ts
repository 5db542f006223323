import { isAppError } from '../../errors/app-error';
import { preparePlan } from '../../pipelines/plans';
import { compileYaml } from '../../sdk/pipeline-yaml';

it('a cache that names files is refused before a run, also inside a sub-pipeline', () => {
  const inner = 'steps: { b: { run: x, cache: { key: ["a/**"] } }, c: { run: x, cache: true } }';
  const text = `steps: { a: { ${inner} }, d: { run: x, cache: { ttl: 7d, key: ["b/**"] } } }\n`;
  let found: unknown;
  try {
    preparePlan({ plan: compileYaml(`version: 1\nname: p\n${text}`), params: {} });
  } catch (error) {
    if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
    found = error.problems;
  }
  const message = 'cannot name files: the code as a whole counts already. Leave them out.';
  expect(found).toEqual([
    { path: 'steps.a.steps.b.cache.key', message },
    { path: 'steps.d.cache.key', message },
  ]);
});
