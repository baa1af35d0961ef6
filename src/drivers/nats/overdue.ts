import type { Clock } from "../../clock.ts";
import type { AckInbox } from "./ack-inbox.ts";

interface Parts {
  readonly clock: Clock;
  readonly answers: AckInbox;
  readonly timeoutMs: number;
  /** A round trip. */
  flush(): Promise<void>;
  fault(error: unknown): void;
}

/** Publishes that the server never answers, on a connection that is well: one timer for all, for the oldest. */
export class Overdue {
  readonly #parts: Parts;
  #timer: Disposable | undefined;
  #looking = false;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** There is one more that waits. */
  watch(): void {
    if (this.#timer === undefined && !this.#looking) this.#wait(this.#parts.timeoutMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #wait(ms: number): void {
    if (!this.#closed) this.#timer = this.#parts.clock.after(Math.max(ms, 1), () => this.#look());
  }

  #rest(): void {
    const { answers, clock, timeoutMs } = this.#parts;
    const { oldest } = answers;
    if (oldest !== undefined) this.#wait(oldest + timeoutMs - clock.ticks());
  }

  /** Answers that came while this process stood still are read first: they stand before that to the ping. */
  #look(): void {
    const { answers, clock, timeoutMs } = this.#parts;
    this.#timer = undefined;
    const by = clock.ticks() - timeoutMs;
    if ((answers.oldest ?? Infinity) > by) return this.#rest();
    this.#looking = true;
    this.#parts
      .flush()
      .catch(() => undefined) // no answer to that either
      .then(() => answers.overdue(by, `no answer from the server within ${timeoutMs} ms`))
      .catch((fault: unknown) => this.#parts.fault(fault))
      .finally(() => {
        this.#looking = false;
        this.#rest();
      });
  }
}
