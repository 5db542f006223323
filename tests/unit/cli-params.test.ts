import { parseParams } from '../../cli/params';

const specs = { name: { type: 'string' }, n: { type: 'number' }, list: { type: 'list' } } as const;

describe('-p name=value', () => {
  it.each([
    ['name=5', { name: '5' }],
    ['name="5"', { name: '"5"' }],
    ['name=', { name: '' }],
    ['name=a=b', { name: 'a=b' }],
    ['n=5', { n: 5 }],
    ['n=-1e-3', { n: -0.001 }],
    ['n=five', { n: 'five' }], // the check of the plan says what it must be
    ['list=[1, "a"]', { list: [1, 'a'] }],
    ['unknown=true', { unknown: true }],
    ['toString=1', { toString: 1 }],
  ])('%s', (pair, expected) => {
    expect(parseParams([pair], specs)).toEqual(expected);
  });

  it('takes the last of two', () => {
    expect(parseParams(['n=1', 'n=2'], specs)).toEqual({ n: 2 });
  });

  it.each(['n', '=5', ''])('refuses %j', (pair) => {
    expect(() => parseParams([pair], specs)).toThrow('not of the form name=value');
  });
});
