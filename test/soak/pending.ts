/** Promises that a process waits for, so that one that is never settled is noticed. */
export class Pending {
  readonly #open = new Map<symbol, { readonly what: string; readonly since: number }>();

  async of<T>(what: string, promise: Promise<T>): Promise<T> {
    const own = Symbol(what);
    this.#open.set(own, { what, since: performance.now() });
    try {
      return await promise;
    } finally {
      this.#open.delete(own);
    }
  }

  get size(): number {
    return this.#open.size;
  }

  /** The one that is open for longest. */
  oldest(): { readonly what: string; readonly ms: number } {
    for (const { what, since } of this.#open.values()) return { what, ms: Math.round(performance.now() - since) };
    return { what: "", ms: 0 };
  }
}
