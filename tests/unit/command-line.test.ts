import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { runToArgv } from '../../dag/command-line';
import { renderArgv } from '../../dag/template';

/** What a shell prints for a `run` line. */
function outputOf(run: string, params: Readonly<Record<string, string>>): string {
  const [program = '', ...args] = renderArgv(runToArgv(run), { params });
  return spawnSync(program, args, { encoding: 'utf8' }).stdout;
}
/** Anything that a process can take as an argument. */
const anyValue = fc
  .oneof(fc.string(), fc.constantFrom('$(echo no)', '`id`', '"; exit 7; "', "'", '*', '  ', '\n'))
  .filter((text) => !text.includes('\0'));

describe('run lines', () => {
  it.each([
    ['exit 3', ['sh', '-ec', 'exit 3', 'sh']],
    ['MODE=fast python t.py', ['sh', '-ec', 'MODE=fast python t.py', 'sh']],
    ['python  t.py ""', ['python', 't.py', '']],
    ['a --x="b c"d', ['a', '--x=b cd']],
    ["a '${{ params.x }} y'", ['a', '${{ params.x }} y']],
  ])('%s becomes %j', (run, argv) => {
    expect(runToArgv(run)).toEqual(argv);
  });

  it('is told where a quote or an expression begins that has no end', () => {
    expect(() => runToArgv('a "b')).toThrow('never closed');
    expect(() => runToArgv('a ${{ params.x ')).toThrow('never closed');
  });

  it('gives every value to a shell as it is, whatever quotes stand around it', () => {
    const line = `printf '%s|' \${{ params.x }} "<\${{ params.x }}>" '(\${{ params.x }})' "it's" \\" # '`;
    fc.assert(
      fc.property(anyValue, (x) => {
        expect(outputOf(line, { x })).toBe(`${x}|<${x}>|(${x})|it's|"|`);
      }),
      { numRuns: 60 }, // each starts a process
    );
  });

  it('gives every value to a program as one argument where no shell is needed', () => {
    fc.assert(
      fc.property(anyValue, (x) => {
        expect(outputOf('printf %s,%s a-${{ params.x }} "b ${{ params.x }}"', { x })).toBe(
          `a-${x},b ${x}`,
        );
      }),
      { numRuns: 30 },
    );
  });

  it('ends a script at the first line that fails', () => {
    expect(outputOf('echo a\nfalse\necho b\n', {})).toBe('a\n');
  });
});
