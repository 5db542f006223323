import { renderTable } from '../../cli/output';

const columns = ['id', 'status', 'reason'];

describe('tables of the command line', () => {
  it('pad each column to its widest cell and end without blanks', () => {
    expect(
      renderTable({
        columns,
        rows: [
          ['a', 'succeeded', ''],
          ['bcd', 'x', 'y z'],
        ],
      }),
    ).toEqual(['ID   STATUS     REASON', 'a    succeeded', 'bcd  x          y z']);
  });

  it('keep a text of other people on one line, without what a terminal would obey', () => {
    const reason = 'a\nb\t\u001b[31mred\u001b[0m\u0007\u009bend';
    expect(renderTable({ columns, rows: [['1', 'failed', reason]] })[1]).toBe(
      '1   failed  a b red end',
    );
  });

  it('cut the last column alone, to what a terminal has left, but never to nothing', () => {
    const rows = [['1234567890', 'failed', 'r'.repeat(100)]];
    const [, wide] = renderTable({ columns, rows }, 60);
    expect(wide).toBe(`1234567890  failed  ${'r'.repeat(39)}…`);
    const [, narrow] = renderTable({ columns, rows }, 10);
    expect(narrow).toBe(`1234567890  failed  ${'r'.repeat(19)}…`);
  });

  it('cut nothing for a pipe', () => {
    expect(renderTable({ columns, rows: [['1', 'x', 'r'.repeat(5000)]] })[1]).toHaveLength(5012);
  });
});
