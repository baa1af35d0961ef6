/** Of one key. */
export interface Gate<Item> {
  busy: boolean;
  /** Those that wait, in order. */
  queue: Item[] | undefined;
}

const sweepAbove = 4_096;

/**
 * One at a time of each key. `enter` says whether the item may go on now, or waits; `leave` frees the key and gives the next.
 * Who enters keeps the gate that `at` gave, since looking a key up is what costs most.
 * Pure: no time, no I/O.
 */
export class OrderGate<Item> {
  /** Keys that were seen lately stay, free ones too: most come again. */
  readonly #gates = new Map<string, Gate<Item>>();
  #waiting = 0;
  #busy = 0;

  /** How many wait behind another of their key. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The gate of a key; one that nobody enters at once may be forgotten. */
  at(key: string): Gate<Item> {
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      if (this.#gates.size > sweepAbove + 2 * this.#busy) this.#sweep();
      this.#gates.set(key, (gate = { busy: false, queue: undefined }));
    }
    return gate;
  }

  enter(gate: Gate<Item>, item: Item): boolean {
    if (!gate.busy) {
      gate.busy = true;
      this.#busy += 1;
      return true;
    }
    (gate.queue ??= []).push(item);
    this.#waiting += 1;
    return false;
  }

  /** The next of this key, which is inside now; undefined when the key is free again. */
  leave(gate: Gate<Item>): Item | undefined {
    if (!gate.busy) return undefined;
    const { queue } = gate;
    if (queue === undefined) {
      gate.busy = false;
      this.#busy -= 1;
      return undefined;
    }
    this.#waiting -= 1;
    const next = queue.shift();
    if (queue.length === 0) gate.queue = undefined;
    return next;
  }

  /** Forgets those that wait and are `unwanted`; who is inside stays. */
  remove(unwanted: (item: Item) => boolean): void {
    for (const gate of this.#gates.values()) {
      if (gate.queue === undefined) continue;
      const kept = gate.queue.filter((item) => !unwanted(item));
      this.#waiting -= gate.queue.length - kept.length;
      gate.queue = kept.length === 0 ? undefined : kept;
    }
  }

  #sweep(): void {
    for (const [key, gate] of this.#gates) if (!gate.busy) this.#gates.delete(key);
  }
}
