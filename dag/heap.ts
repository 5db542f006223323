/** A binary heap: `pop` gives the least item by a total order. */
export class Heap<T> {
  private readonly items: T[] = [];
  private readonly isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.isBefore = isBefore;
  }

  get size(): number {
    return this.items.length;
  }

  push(item: T): void {
    let at = this.items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  pop(): T | undefined {
    const [first] = this.items;
    const last = this.items.pop();
    if (this.items.length === 0 || last === undefined) return first;
    this.items[0] = last;
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      const least = this.least(left, left + 1);
      if (least === undefined || !this.swapIfBefore(least, at)) return first;
      at = least;
    }
  }

  private least(a: number, b: number): number | undefined {
    const left = this.items[a];
    if (left === undefined) return undefined;
    const right = this.items[b];
    return right !== undefined && this.isBefore(right, left) ? b : a;
  }

  /** Swaps two places if the first one's item comes before the second one's. */
  private swapIfBefore(a: number, b: number): boolean {
    const x = this.items[a];
    const y = this.items[b];
    if (x === undefined || y === undefined || !this.isBefore(x, y)) return false;
    this.items[a] = y;
    this.items[b] = x;
    return true;
  }
}
