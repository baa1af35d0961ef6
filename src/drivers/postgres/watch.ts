import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";

const lookEveryMs = 500;
/** When this process stood still, its timers come before what came meanwhile: that is read first. */
const readMs = 50;

/** Nothing at all may come from a server that is paused, or through a line that is dead: what is silent for too long is lost. */
export class Watch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #askedAt: () => readonly number[];
  readonly #lost: (error: unknown) => void;
  #timer: Disposable | undefined;

  constructor(clock: Clock, timeoutMs: number, askedAt: () => readonly number[], lost: (error: unknown) => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#askedAt = askedAt;
    this.#lost = lost;
  }

  start(): void {
    this.#timer = this.#clock.after(Math.min(lookEveryMs, this.#timeoutMs / 2), () => {
      if (!this.#late()) return this.start();
      this.#timer = this.#clock.after(readMs, () => {
        if (this.#late())
          this.#lost(
            new DriverError("BUS_TIMEOUT", `postgres: no answer from the server within ${this.#timeoutMs} ms`, {
              retryable: true,
            }),
          );
        this.start();
      });
    });
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
  }

  #late(): boolean {
    const before = this.#clock.ticks() - this.#timeoutMs;
    return this.#askedAt().some((askedAt) => askedAt <= before);
  }
}
