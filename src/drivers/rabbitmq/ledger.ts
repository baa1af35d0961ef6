/** What to tell the server: all tags up to `upTo`, then each of `single`. */
export interface Acks {
  readonly upTo: number | undefined;
  readonly single: readonly number[];
}

type State = "open" | "done" | "settled";

/**
 * The tags of one channel, which the server counts from 1. A tag may be named to it once: a second time, or as the end of a run
 * when it was named before, closes the channel with all that is held on it. So a run ends at the highest tag that was not.
 */
export class Ledger {
  readonly #states: State[] = [];
  /** All below are settled, and forgotten here. */
  #first = 1;
  /** Done above the first open one, and not told yet. */
  #scattered = 0;

  /** Held by us, at the server. */
  get size(): number {
    return this.#states.length;
  }

  delivered(tag: number): void {
    if (tag !== this.#first + this.#states.length) throw new Error(`tag ${tag} does not follow`);
    this.#states.push("open");
  }

  /** It is to be acknowledged with the next `take`. False: it is not open. */
  done(tag: number): boolean {
    return this.#change(tag, "done");
  }

  /** The server was told by another way (a rejection). */
  settled(tag: number): boolean {
    return this.#change(tag, "settled");
  }

  #change(tag: number, to: State): boolean {
    const at = tag - this.#first;
    if (this.#states[at] !== "open") return false;
    this.#states[at] = to;
    if (to === "done") this.#scattered += 1;
    return true;
  }

  /** Those above an open one are told one by one, when there are more than `scattered`. */
  take(scattered: number): Acks {
    let end = 0;
    let upTo: number | undefined;
    for (; end < this.#states.length && this.#states[end] !== "open"; end += 1) {
      if (this.#states[end] !== "done") continue;
      upTo = this.#first + end;
      this.#scattered -= 1;
    }
    this.#states.splice(0, end);
    this.#first += end;
    if (this.#scattered <= scattered) return { upTo, single: [] };
    const single: number[] = [];
    for (const [at, state] of this.#states.entries()) {
      if (state !== "done") continue;
      this.#states[at] = "settled";
      single.push(this.#first + at);
    }
    this.#scattered = 0;
    return { upTo, single };
  }
}
