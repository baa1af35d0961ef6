/** What a bag keeps: it remembers its own place. */
export interface Bagged {
  /** Set and read by the bag only. */
  slot: number;
}

/**
 * A set of objects that come and go with every message: one array, no hash. A `Set` makes a new table every few deletions, and
 * an old table that the collector has not reached yet keeps everything that was in it.
 */
export class Bag<Item extends Bagged> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: Item): void {
    item.slot = this.#items.length;
    this.#items.push(item);
  }

  /** False when it is not in it. */
  delete(item: Item): boolean {
    const items = this.#items;
    if (items[item.slot] !== item) return false;
    const last = items.pop()!;
    if (last !== item) {
      items[item.slot] = last;
      last.slot = item.slot;
    }
    item.slot = -1;
    return true;
  }

  /** A copy: what is done with its items may change the bag. */
  all(): Item[] {
    return this.#items.slice();
  }
}
