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
  #listening = false;
  /** In the order in which they asked, so that who begins what takes long comes behind the others. */
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lookedAt = clock.ticks();
  }

  /** True: nothing may be begun before `then` is called, when each line that can be read and each timer that is due had its turn. */
  holds(then: () => void): boolean {
    if (!this.#listening) {
      const now = this.#clock.ticks();
      const isOld = now - this.#lookedAt > unheardMs;
      this.#lookedAt = now;
      if (!isOld) return false;
      this.#listening = true;
      forNobody(() => this.#clock.soon(() => this.#clock.soon(() => this.#goOn())));
    }
    this.#waiting.add(then);
    return true;
  }

  #goOn(): void {
    this.#listening = false;
    this.#lookedAt = this.#clock.ticks();
    for (const then of this.#waiting) {
      if (this.#listening) return; // again: the others' turn comes first then
      this.#waiting.delete(then);
      then();
    }
  }
}
