import type { Clock } from "../../clock.ts";
import { DueHeap } from "./due-heap.ts";

export interface StateChange {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}

interface Change extends StateChange {
  readonly expires: number;
}

/** Changes on their way to one reader: the latest of each key, so that a slow one costs no more than the keys there are. */
export class StateWatch {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** What the reader was told is there: until when. */
  readonly #known = new Map<string, number>();
  /** Of those that end. */
  readonly #ends = new DueHeap<string>();
  readonly #changes = new Map<string, Change>();
  /** One for many: each new one would pass over all that were taken since the map was last tidied. */
  #order: Iterator<Change> = this.#changes.values();
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    signal.addEventListener("abort", this.#ring);
  }

  /** The last thing known of a key; a later one replaces it. */
  take(key: string, revision: number, value: Uint8Array | undefined, expires: number): void {
    this.#changes.delete(key);
    // a copy: the client's bytes are a piece of all that was read with them
    const own = value === undefined ? undefined : new Uint8Array(value);
    this.#changes.set(key, { key, revision: String(revision), value: own, expires });
    this.#ring();
  }

  end(error: unknown): void {
    this.#failure ??= { error };
    this.#ring();
  }

  close(): void {
    this.#signal.removeEventListener("abort", this.#ring);
  }

  /** Until the signal aborts; throws what it was ended with. */
  async *changes(): AsyncIterable<StateChange> {
    let revision = "0";
    while (!this.#signal.aborted) {
      const next = this.#oldest();
      const now = this.#clock.now();
      if (next !== undefined) {
        this.#changes.delete(next.key);
        const value = next.expires > now ? next.value : undefined;
        if (value === undefined) {
          if (!this.#known.delete(next.key)) continue;
        } else {
          this.#known.set(next.key, next.expires);
          this.#endsAt(next.expires, next.key);
        }
        ({ revision } = next);
        yield { key: next.key, revision, value };
        continue;
      }
      const over = this.#ends.take(now);
      if (over !== undefined) {
        if ((this.#known.get(over) ?? Infinity) > now) continue; // it went, or was given more time
        this.#known.delete(over);
        yield { key: over, revision, value: undefined };
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      await this.#rung((this.#ends.next ?? Infinity) - now);
    }
  }

  #oldest(): Change | undefined {
    for (;;) {
      const next = this.#order.next();
      if (next.done !== true) return next.value;
      if (this.#changes.size === 0) return undefined;
      this.#order = this.#changes.values();
    }
  }

  #endsAt(expires: number, key: string): void {
    if (expires === Infinity) return;
    this.#ends.add(expires, key);
    if (this.#ends.size <= 2 * this.#known.size + 64) return;
    this.#ends.clear(); // most are of keys that were given more time since
    for (const [each, until] of this.#known) if (until !== Infinity) this.#ends.add(until, each);
  }

  async #rung(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = Number.isFinite(ms) ? this.#clock.after(ms, resolve) : undefined;
    await promise;
    timer?.[Symbol.dispose]();
    this.#wake = undefined;
  }

  readonly #ring = (): void => this.#wake?.();
}
