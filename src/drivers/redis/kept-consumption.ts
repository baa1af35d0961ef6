import type { Consumption, InMessage, Note, Settlement, Window } from "../../driver.ts";

/** A consumption that its connection knows until it is closed. */
export class KeptConsumption implements Consumption {
  readonly #inner: Consumption;
  readonly #closed: (consumption: KeptConsumption) => void;

  constructor(inner: Consumption, closed: (consumption: KeptConsumption) => void) {
    this.#inner = inner;
    this.#closed = closed;
  }

  get address(): string | undefined {
    return this.#inner.address;
  }

  window(window: Window, partition?: string): void {
    this.#inner.window(window, partition);
  }

  wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    return this.#inner.wants(patterns, answers);
  }

  ack(messages: readonly InMessage[]): void {
    this.#inner.ack(messages);
  }

  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return this.#inner.settle(batch);
  }

  record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return this.#inner.record(notes);
  }

  flush(): Promise<void> {
    return this.#inner.flush();
  }

  stop(): Promise<void> {
    return this.#inner.stop();
  }

  async close(signal: AbortSignal): Promise<void> {
    try {
      await this.#inner.close(signal);
    } finally {
      this.#closed(this);
    }
  }
}
