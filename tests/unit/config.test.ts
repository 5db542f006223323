import { parseConfig } from '../../config/config';
import { workerVersion } from '../../config/temporal';
import { isAppError } from '../../errors/app-error';

describe('configuration', () => {
  it('has a default for everything a laptop needs', () => {
    expect(parseConfig({})).toMatchObject({ ANNEAL_PORT: 7400, ANNEAL_AUTH: 'token' });
  });

  it('takes an empty variable as unset', () => {
    expect(parseConfig({ ANNEAL_PORT: '' }).ANNEAL_PORT).toBe(7400);
  });

  it('names every wrong variable at once', () => {
    let caught: unknown;
    try {
      parseConfig({ ANNEAL_PORT: '70000', ANNEAL_DURABILITY: 'maybe' });
    } catch (error) {
      caught = error;
    }
    expect(isAppError(caught) && caught.code).toBe('CONFIG_INVALID');
    expect(isAppError(caught) && caught.problems.map((p) => p.path).sort()).toEqual([
      'ANNEAL_DURABILITY',
      'ANNEAL_PORT',
    ]);
  });

  it('wants a worker deployment and a build id together, or neither', () => {
    const deployment = { ANNEAL_WORKER_DEPLOYMENT: 'anneal' };
    const build = { ANNEAL_BUILD_ID: '0.1.0+3f2a' };
    expect(workerVersion(parseConfig({}))).toBeUndefined();
    expect(workerVersion(parseConfig({ ...deployment, ...build }))).toEqual({
      deploymentName: 'anneal',
      buildId: '0.1.0+3f2a',
    });
    for (const half of [deployment, build]) {
      expect(() => workerVersion(parseConfig(half))).toThrow(/together, or neither/);
    }
  });

  it.each([
    { ANNEAL_WORKER_DEPLOYMENT: 'a.b' }, // Temporal joins the two with a dot
    { ANNEAL_BUILD_ID: 'a b' },
  ])('refuses %j', (environment) => {
    expect(() => parseConfig(environment)).toThrow(/must be 1 to 100/);
  });

  it('is frozen', () => {
    expect(Object.isFrozen(parseConfig({}))).toBe(true);
  });
});
