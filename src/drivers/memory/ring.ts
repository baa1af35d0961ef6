const smallest = 16;

/** A queue in a circular array whose length is a power of two; it doubles when full and halves when mostly empty. */
export class Ring<Value> {
  #slots: (Value | undefined)[] = new Array<Value | undefined>(smallest).fill(undefined);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: Value | undefined): void {
    if (this.#length === this.#slots.length) this.#resize(this.#length * 2);
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = value;
    this.#length += 1;
  }

  shift(): Value | undefined {
    if (this.#length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    if (this.#slots.length > 1_024 && this.#length < this.#slots.length >> 3) this.#resize(this.#slots.length >> 1);
    return value;
  }

  /** Counted from the oldest; undefined outside. */
  at(index: number): Value | undefined {
    return index < 0 || index >= this.#length ? undefined : this.#slots[(this.#head + index) & (this.#slots.length - 1)];
  }

  /** Of an index inside. */
  set(index: number, value: Value | undefined): void {
    this.#slots[(this.#head + index) & (this.#slots.length - 1)] = value;
  }

  clear(): void {
    this.#slots = new Array<Value | undefined>(smallest).fill(undefined);
    this.#head = 0;
    this.#length = 0;
  }

  #resize(size: number): void {
    const slots = new Array<Value | undefined>(size).fill(undefined);
    for (let index = 0; index < this.#length; index += 1) slots[index] = this.at(index);
    this.#slots = slots;
    this.#head = 0;
  }
}
