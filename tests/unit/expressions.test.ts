import fc from 'fast-check';
import { printExpression } from '../../dag/expression-text';
import { evaluate, ExpressionError, parseExpression, referencesOf } from '../../dag/expressions';
import type { BinaryOp, Expression } from '../../dag/expressions';

const WORDS = new Set(['and', 'or', 'not', 'in', 'true', 'false', 'null']);

function run(text: string, scope: Record<string, unknown> = {}): unknown {
  return evaluate(parseExpression(text), scope);
}
function columnOf(text: string): number | undefined {
  try {
    parseExpression(text);
    return undefined;
  } catch (error) {
    return error instanceof ExpressionError ? error.column : -1;
  }
}

describe('expressions', () => {
  it.each<[string, unknown]>([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['10 - 4 - 3', 3],
    ['-2 + 5', 3],
    ['1e-3 == 0.001', true],
    ['"a" + \'b\'', 'ab'],
    ['1 < 2 and not (2 < 1)', true],
    ['1 < 2 && false || true', true],
    ['2 in [1, 2, 3]', true],
    ['"x" in []', false],
    ['"b" > "a"', true],
    ['[1, [2]] == [1, [2]]', true],
    ['null == null', true],
  ])('%s is %j', (text, value) => {
    expect(run(text)).toEqual(value);
  });

  it('reads paths, also with positions and words as names', () => {
    const scope = { steps: { a: { outputs: { in: [4, 5] } } } };
    expect(run('steps.a.outputs.in[1]', scope)).toBe(5);
  });

  it('does not evaluate what and/or do not need', () => {
    expect(run('false && missing.x')).toBe(false);
    expect(run('true || missing.x')).toBe(true);
  });

  it.each(['missing', 'params.nope', 'params.constructor', 'params.__proto__'])(
    'refuses %s, which leads nowhere',
    (text) => {
      expect(() => run(text, { params: { lr: 1 } })).toThrow('has no value');
    },
  );

  it.each<[string, number]>([
    ['1 +', 4],
    ['(1', 3],
    ['a b', 3],
    ['1 @ 2', 3],
    ['a..b', 3],
    ['', 1],
  ])('names the column of the mistake in %j', (text, column) => {
    expect(columnOf(text)).toBe(column);
  });

  it('has an end to depth and length', () => {
    expect(() => parseExpression('('.repeat(200) + '1' + ')'.repeat(200))).toThrow('deeply');
    expect(() => parseExpression('1+'.repeat(600) + '1')).toThrow('longer');
  });

  it('lists what it reads', () => {
    const tree = parseExpression('params.a > 1 && steps.x.outputs.y in [item.z]');
    expect(referencesOf(tree).map((parts) => parts.join('.'))).toEqual([
      'params.a',
      'steps.x.outputs.y',
      'item.z',
    ]);
  });

  it('calculates like JavaScript on random sums and products', () => {
    const number = fc.integer({ min: 0, max: 999 }).map(String);
    const tree = fc.letrec<{ node: string }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 5 },
        number,
        fc
          .tuple(tie('node'), fc.constantFrom('+', '-', '*'), tie('node'))
          .map(([a, op, b]) => `(${a} ${op} ${b})`),
      ),
    })).node;
    fc.assert(
      fc.property(tree, (text) => {
        // an independent implementation: the engine that runs this test
        // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call
        expect(run(text)).toBe(new Function(`return ${text}`)());
      }),
    );
  });

  it('never throws anything but ExpressionError on random text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        const column = columnOf(text);
        expect(column).not.toBe(-1);
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses what has no finite result', () => {
    expect(() => run('1 / 0')).toThrow('division by zero');
    expect(() => run('1e308 * 10')).toThrow('no finite number');
  });

  it('reads escapes in texts and refuses unknown ones', () => {
    expect(run('"a\\n\\"\\u0041"')).toBe('a\n"A');
    expect(() => run('"\\x"')).toThrow('not an escape');
  });

  it('prints every tree so that parsing gives it back', () => {
    const name = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,5}$/).filter((text) => !WORDS.has(text));
    const position = fc.nat({ max: 99 });
    const path = fc
      .tuple(
        name,
        fc.array(fc.oneof(name, position, fc.constantFrom('in', 'not')), { maxLength: 3 }),
      )
      .map(([first, rest]) => ({ kind: 'path' as const, parts: [first, ...rest] }));
    const value = fc.oneof(
      fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
    );
    const { tree } = fc.letrec<{ tree: Expression }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        value.map((of) => ({ kind: 'literal' as const, value: of })),
        path,
        fc.array(tie('tree'), { maxLength: 3 }).map((items) => ({ kind: 'list' as const, items })),
        fc.record({
          kind: fc.constant('unary' as const),
          op: fc.constantFrom('!', '-'),
          of: tie('tree'),
        }),
        fc.record({
          kind: fc.constant('binary' as const),
          op: fc.constantFrom<BinaryOp>(
            '||',
            '&&',
            '==',
            '!=',
            '<',
            '<=',
            '>',
            '>=',
            'in',
            '+',
            '-',
            '*',
            '/',
          ),
          left: tie('tree'),
          right: tie('tree'),
        }),
      ),
    }));
    fc.assert(
      fc.property(tree, (given) => {
        const text = printExpression(given);
        fc.pre(text.length <= 1_000); // longer ones are refused
        expect(parseExpression(text)).toEqual(given);
      }),
      { numRuns: 2_000 },
    );
  });
});
