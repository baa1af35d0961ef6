/** From the first up to, and without, the second. */
export type Range = readonly [from: number, to: number];

/**
 * What of a partition is settled: all below the floor, and ranges above it. Offsets that hold nothing (gaps, control records,
 * what no pattern matches) are settled as they are passed. Pure.
 */
export class Ledger {
  #floor: number;
  /** In order, apart from each other, all above the floor. */
  readonly #ranges: Range[];

  constructor(floor: number, ranges: readonly Range[] = []) {
    this.#floor = floor;
    this.#ranges = [];
    for (const [from, to] of ranges) this.settle(from, to);
  }

  /** The lowest offset that is not settled: what is committed. */
  get floor(): number {
    return this.#floor;
  }

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  isSettled(offset: number): boolean {
    if (offset < this.#floor) return true;
    const [from = Number.POSITIVE_INFINITY] = this.#ranges[this.#before(offset)] ?? [];
    const to = this.#ranges[this.#before(offset)]?.[1] ?? 0;
    return from <= offset && offset < to;
  }

  /** True: the floor rose. */
  settle(from: number, to: number = from + 1): boolean {
    let start = Math.max(from, this.#floor);
    let end = to;
    if (start >= end) return false;
    const ranges = this.#ranges;
    let first = this.#before(start);
    if (first < 0 || (ranges[first]?.[1] ?? 0) < start) first += 1;
    let after = first;
    for (let each = ranges[after]; each !== undefined && each[0] <= end; each = ranges[after]) {
      start = Math.min(start, each[0]);
      end = Math.max(end, each[1]);
      after += 1;
    }
    if (start > this.#floor) {
      ranges.splice(first, after - first, [start, end]);
      return false;
    }
    ranges.splice(first, after - first);
    this.#floor = end;
    return true;
  }

  /** The last range that begins at the offset or below; -1: none. */
  #before(offset: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.[0] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
