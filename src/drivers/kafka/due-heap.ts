/** What is due when, earliest first. Pure. */
export class DueHeap<Item> {
  readonly #items: { readonly due: number; readonly item: Item }[] = [];

  get size(): number {
    return this.#items.length;
  }

  get nextAt(): number | undefined {
    return this.#items[0]?.due;
  }

  add(due: number, item: Item): void {
    const items = this.#items;
    let at = items.length;
    items.push({ due, item });
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (items[up]!.due <= items[at]!.due) break;
      [items[up], items[at]] = [items[at]!, items[up]!];
      at = up;
    }
  }

  /** The earliest, if it is due by then. */
  take(now: number): Item | undefined {
    const items = this.#items;
    const first = items[0];
    if (first === undefined || first.due > now) return undefined;
    const last = items.pop()!;
    if (items.length > 0) {
      items[0] = last;
      let at = 0;
      for (;;) {
        let least = at;
        for (const child of [2 * at + 1, 2 * at + 2])
          if (child < items.length && items[child]!.due < items[least]!.due) least = child;
        if (least === at) break;
        [items[least], items[at]] = [items[at]!, items[least]!];
        at = least;
      }
    }
    return first.item;
  }

  clear(): void {
    this.#items.length = 0;
  }
}
