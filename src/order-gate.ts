/** Of one key. */
export interface Gate<Item> {
  busy: boolean;
  /** Who is inside waits for its time. */
  parked: boolean;
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
  #stuck = 0;
  #busy = 0;

  /** How many wait behind another of their key. */
  get waiting(): number {
    return this.#waiting;
  }
  /** Those of them that wait behind one that is parked. */
  get stuck(): number {
    return this.#stuck;
  }

  /** The gate of a key; one that nobody enters at once may be forgotten. */
  at(key: string): Gate<Item> {
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      if (this.#gates.size > sweepAbove + 2 * this.#busy) this.#sweep();
      this.#gates.set(key, (gate = { busy: false, parked: false, queue: undefined }));
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
    this.#wait(gate, 1);
    return false;
  }

  /** Says of who is inside whether it waits for its time. */
  park(gate: Gate<Item>, parked: boolean): void {
    if (gate.parked === parked) return;
    gate.parked = parked;
    const behind = gate.queue?.length ?? 0;
    this.#stuck += parked ? behind : -behind;
  }

  /** The next of this key, which is inside now; undefined when the key is free again. */
  leave(gate: Gate<Item>): Item | undefined {
    if (!gate.busy) return undefined;
    this.park(gate, false);
    const { queue } = gate;
    if (queue === undefined) {
      gate.busy = false;
      this.#busy -= 1;
      return undefined;
    }
    this.#wait(gate, -1);
    const next = queue.shift();
    if (queue.length === 0) gate.queue = undefined;
    return next;
  }

  /** Forgets those that wait and are `unwanted`; who is inside stays. */
  remove(unwanted: (item: Item) => boolean): void {
    for (const gate of this.#gates.values()) {
      if (gate.queue === undefined) continue;
      const kept = gate.queue.filter((item) => !unwanted(item));
      this.#wait(gate, kept.length - gate.queue.length);
      gate.queue = kept.length === 0 ? undefined : kept;
    }
  }

  #wait(gate: Gate<Item>, change: number): void {
    this.#waiting += change;
    if (gate.parked) this.#stuck += change;
  }

  #sweep(): void {
    for (const [key, gate] of this.#gates) if (!gate.busy) this.#gates.delete(key);
  }
}
