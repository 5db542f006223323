import { parseConfig } from '../../config/config';
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

  it('is frozen', () => {
    expect(Object.isFrozen(parseConfig({}))).toBe(true);
  });
});
