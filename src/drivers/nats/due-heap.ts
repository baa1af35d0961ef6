/** What is due next, whichever order it came in. */
export class DueHeap<Item> {
  readonly #items: { readonly at: number; readonly item: Item }[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** When the next one is due. */
  get next(): number | undefined {
    return this.#items[0]?.at;
  }

  add(at: number, item: Item): void {
    const items = this.#items;
    let index = items.length;
    items.push({ at, item });
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (items[parent]!.at <= at) break;
      [items[parent], items[index]] = [items[index]!, items[parent]!];
      index = parent;
    }
  }

  /** The next one that is due by then. */
  take(by: number): Item | undefined {
    const items = this.#items;
    const first = items[0];
    if (first === undefined || first.at > by) return undefined;
    const last = items.pop()!;
    if (items.length === 0) return first.item;
    items[0] = last;
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let lowest = index;
      if (left < items.length && items[left]!.at < items[lowest]!.at) lowest = left;
      if (right < items.length && items[right]!.at < items[lowest]!.at) lowest = right;
      if (lowest === index) return first.item;
      [items[lowest], items[index]] = [items[index]!, items[lowest]!];
      index = lowest;
    }
  }

  clear(): void {
    this.#items.length = 0;
  }
}
