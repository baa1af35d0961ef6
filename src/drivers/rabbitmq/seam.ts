/**
 * Where what is copied from the log meets what the group gets live. Positions can't tell: log and queue hold the same messages in
 * different orders. What can is that one binding decided of each message, when it was routed, and that the seam queue behind it has
 * exactly those that the group's queue has. Before the first marker in the log stands nothing that was routed after the binding.
 */
export class Seam {
  readonly #first: string;
  readonly #last: string;
  /** Of the log, after the first marker, that match and were not seen live: id → offsets. */
  readonly #missing = new Map<string, number[]>();
  readonly #live = new Set<string>();
  #begun = false;
  #logDone = false;
  #liveDone = false;

  /** The ids of the marker that was published before the definition was written, and of the one after the last binding. */
  constructor(first: string, last: string) {
    this.#first = first;
    this.#last = last;
  }

  /** Both are read beyond the last marker. What is routed before the binding may be stored still later. */
  get passed(): boolean {
    return this.#logDone && this.#liveDone;
  }

  /** A record of the log, in its order. True: it was not seen live, and may have to be copied. */
  log(id: string, offset: number, matches: boolean): boolean {
    if (id === this.#first) this.#begun = true;
    else if (id === this.#last) this.#logDone = true;
    else if (this.#begun && matches && !this.#live.has(id)) {
      const offsets = this.#missing.get(id);
      if (offsets === undefined) this.#missing.set(id, [offset]);
      else offsets.push(offset);
      return true;
    }
    return false;
  }

  /** A message of the seam queue. The offsets that are not to be copied by it. */
  live(id: string): readonly number[] {
    if (id === this.#last) this.#liveDone = true;
    else if (id !== this.#first) {
      const seen = this.#missing.get(id) ?? [];
      this.#live.add(id);
      this.#missing.delete(id);
      return seen;
    }
    return [];
  }

  /**
   * Offsets of what is in the log alone, by now; each is given once. `before`: only those of which it is certain that the reading of
   * what is live has come further; the rest may be on its way.
   */
  take(before: number = Number.POSITIVE_INFINITY): readonly number[] {
    const taken: number[] = [];
    for (const [id, offsets] of this.#missing) {
      const over = offsets.filter((offset) => offset < before);
      if (over.length === 0) continue;
      taken.push(...over);
      const rest = offsets.filter((offset) => offset >= before);
      if (rest.length > 0) this.#missing.set(id, rest);
      else {
        this.#missing.delete(id);
        this.#live.add(id); // what comes again under this id was copied
      }
    }
    return taken.toSorted((a, b) => a - b);
  }
}
