import { createInFlight } from '../../api/in-flight';

describe('createInFlight', () => {
  it('lets at most so many of one key run at once, in order, and others beside them', async () => {
    const inFlight = createInFlight(2);
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const work = (key: string, name: string): Promise<void> =>
      inFlight.run(key, () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const all = [
      work('m', 'm1'),
      work('m', 'm2'),
      work('m', 'm3'),
      work('n', 'n1'),
      work('m', 'm4'),
    ];
    await Promise.resolve();
    expect(begun).toEqual(['m1', 'm2', 'n1']);
    ends[0]?.();
    await all[0];
    await Promise.resolve();
    expect(begun).toEqual(['m1', 'm2', 'n1', 'm3']);
    while (begun.length < 5 || ends.length > 0) {
      ends.splice(0).forEach((end) => {
        end();
      });
      await Promise.resolve();
    }
    await Promise.all(all);
  });

  it('gives the place on when work fails', async () => {
    const inFlight = createInFlight(1);
    const first = inFlight.run('m', () => Promise.reject(new Error('no')));
    const second = inFlight.run('m', () => Promise.resolve('yes'));
    await expect(first).rejects.toThrow('no');
    expect(await second).toBe('yes');
  });
});
