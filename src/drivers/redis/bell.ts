import type { Clock } from "../../clock.ts";

/** Wakes one loop; a ring while it is busy is kept. */
export class Bell {
  readonly #clock: Clock;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  /** Resolves at the next ring, or after `ms`. */
  async wait(ms: number = Infinity): Promise<void> {
    if (!this.#rung && ms > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = ms === Infinity ? undefined : this.#clock.after(ms, resolve);
      await promise;
      timer?.[Symbol.dispose]();
      this.#wake = undefined;
    }
    this.#rung = false;
  }
}
