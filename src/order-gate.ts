/**
 * One at a time of each key. `enter` says whether the item may go on now, or waits; `leave` frees the key and gives the next.
 * Pure: no time, no I/O.
 */
export class OrderGate<Item> {
  /** Key → those that wait, in order; present while one is inside. */
  readonly #inside = new Map<string, Item[] | undefined>();
  #waiting = 0;

  /** How many wait behind another of their key. */
  get waiting(): number {
    return this.#waiting;
  }

  enter(key: string, item: Item): boolean {
    if (!this.#inside.has(key)) {
      this.#inside.set(key, undefined);
      return true;
    }
    const queue = this.#inside.get(key);
    if (queue === undefined) this.#inside.set(key, [item]);
    else queue.push(item);
    this.#waiting += 1;
    return false;
  }

  /** The next of this key, which is inside now; undefined when the key is free again. */
  leave(key: string): Item | undefined {
    const queue = this.#inside.get(key);
    if (queue === undefined || queue.length === 0) {
      this.#inside.delete(key);
      return undefined;
    }
    this.#waiting -= 1;
    return queue.shift();
  }

  /** Forgets those that wait and are `unwanted`; who is inside stays. */
  remove(unwanted: (item: Item) => boolean): void {
    for (const [key, queue] of this.#inside) {
      if (queue === undefined) continue;
      const kept = queue.filter((item) => !unwanted(item));
      this.#waiting -= queue.length - kept.length;
      this.#inside.set(key, kept.length === 0 ? undefined : kept);
    }
  }
}
