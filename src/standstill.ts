import type { Clock } from "./clock.ts";
import { forNobody } from "./context.ts";

/** Who looked at nothing for so long may have been stopped. */
const unheardMs = 200;

/**
 * A process that was stopped, or whose machine was, may have lost what it holds, and goes on before it hears of it: what can be read
 * comes before the timers, and both may come behind what ends now. So whoever begins something looks here first.
 */
export class Standstill {
  readonly #clock: Clock;
  #lookedAt: number;
  #waiting: Set<() => void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lookedAt = clock.ticks();
  }

  /** True: nothing may be begun before `then` is called, when each line that can be read and each timer that is due had its turn. */
  holds(then: () => void): boolean {
    if (this.#waiting === undefined) {
      const now = this.#clock.ticks();
      const isOld = now - this.#lookedAt > unheardMs;
      this.#lookedAt = now;
      if (!isOld) return false;
      this.#waiting = new Set();
      forNobody(() => this.#clock.soon(() => this.#clock.soon(() => this.#goOn())));
    }
    this.#waiting.add(then);
    return true;
  }

  #goOn(): void {
    const waiting = this.#waiting!;
    this.#waiting = undefined;
    this.#lookedAt = this.#clock.ticks();
    for (const then of waiting) then();
  }
}
