/** Settlements that have begun: what is left is handed back when they have ended, or their notes would be overwritten. */
export class UnderWay {
  readonly #open = new Set<Promise<unknown>>();

  async track<Value>(work: Promise<Value>): Promise<Value> {
    this.#open.add(work);
    try {
      return await work;
    } finally {
      this.#open.delete(work);
    }
  }

  async ended(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }
}
