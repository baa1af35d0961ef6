const smallest = 16;

/** A queue in a circular array whose size is a power of two; it doubles when full and halves when mostly empty. */
export class Ring<Value> {
  /** Filled from its start, so that it never has holes. */
  #slots: (Value | undefined)[] = [];
  #mask = smallest - 1;
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: Value | undefined): void {
    if (this.#length > this.#mask) this.#resize(this.#length * 2);
    this.#slots[(this.#head + this.#length) & this.#mask] = value;
    this.#length += 1;
  }

  shift(): Value | undefined {
    if (this.#length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#length -= 1;
    if (this.#mask > 1_024 && this.#length < this.#mask >> 3) this.#resize((this.#mask + 1) >> 1);
    return value;
  }

  /** Counted from the oldest; undefined outside. */
  at(index: number): Value | undefined {
    return index < 0 || index >= this.#length ? undefined : this.#slots[(this.#head + index) & this.#mask];
  }

  /** Of an index inside. */
  set(index: number, value: Value | undefined): void {
    this.#slots[(this.#head + index) & this.#mask] = value;
  }

  clear(): void {
    this.#slots = [];
    this.#mask = smallest - 1;
    this.#head = 0;
    this.#length = 0;
  }

  #resize(size: number): void {
    const slots: (Value | undefined)[] = [];
    for (let index = 0; index < this.#length; index += 1) slots.push(this.at(index));
    this.#slots = slots;
    this.#mask = size - 1;
    this.#head = 0;
  }
}
