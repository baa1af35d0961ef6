import type { Clock } from "../../clock.ts";

export interface StateChange {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}

/** Changes on their way to one reader: the latest of each key, so that a slow one costs no more than the keys there are. */
export class StateWatch {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** What the reader was told is there: until when. */
  readonly #known = new Map<string, number>();
  readonly #changes = new Map<string, StateChange & { readonly expires: number }>();
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
      const [next] = this.#changes.values();
      const now = this.#clock.now();
      if (next !== undefined) {
        this.#changes.delete(next.key);
        const value = next.expires > now ? next.value : undefined;
        if (value === undefined ? !this.#known.delete(next.key) : !this.#known.set(next.key, next.expires)) continue;
        ({ revision } = next);
        yield { key: next.key, revision, value };
        continue;
      }
      const over = [...this.#known].find(([, expires]) => expires <= now);
      if (over !== undefined) {
        this.#known.delete(over[0]);
        yield { key: over[0], revision, value: undefined };
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      await this.#rung(Math.min(...this.#known.values()) - now);
    }
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
