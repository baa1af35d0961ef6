import type { Clock } from "../../clock.ts";
import type { Consumption, InMessage, Sink, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { mostWaiting, mostWaitingBytes, whyDropped } from "../../internal/direct-bounds.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { KafkaMessage } from "./message.ts";

export interface DirectHost {
  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): Promise<void>;
  /** Resolves when nothing is to come any more. */
  stops(): Promise<void>;
  left(): void;
}

/** A listener on the direct lane, or an inbox. What its window has no room for waits here, within bounds. */
export class DirectConsumer extends AckOnly implements Consumption {
  readonly address: string | undefined;
  readonly #clock: Clock;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #host: DirectHost;
  readonly #waiting = new Fifo<KafkaMessage>();
  #waitingBytes = 0;
  #dropped = 0;
  #pumping = false;
  #stopping: Promise<void> | undefined;
  #stopped = false;

  constructor(clock: Clock, address: string | undefined, sink: Sink, window: Window, host: DirectHost) {
    super("kafka", "direct");
    this.#clock = clock;
    this.address = address;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#host = host;
  }

  take(message: KafkaMessage): void {
    if (this.#stopped) return;
    if (this.#waiting.length >= mostWaiting || this.#waitingBytes >= mostWaitingBytes) {
      this.#dropped += 1;
      if (this.#dropped === 1) this.#clock.soon(() => this.#sayDropped());
      return;
    }
    this.#waiting.push(message);
    this.#waitingBytes += message.size;
    if (this.#pumping) return;
    this.#pumping = true;
    // after all that was read with it: one call for many
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#pump();
  }

  async wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    await this.#host.wants(this, patterns, answers);
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly KafkaMessage[]) {
      if (message.over) continue;
      message.over = true;
      this.#credit.give(message.size);
    }
    this.#pump();
  }

  /** What waits is gone, as is said of this lane. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async close(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const over = (): void => void this.#clock.after(graceMs, resolve);
    if (signal.aborted) over();
    else signal.addEventListener("abort", over, { once: true });
    await Promise.race([this.stop(), promise]);
    signal.removeEventListener("abort", over);
    this.#stopped = true;
    this.#host.left();
  }

  async #stop(): Promise<void> {
    await this.#host.stops().catch(() => undefined); // its lease ends
    this.#stopped = true;
  }

  #pump(): void {
    const now = this.#clock.now();
    const batch: KafkaMessage[] = [];
    while (!this.#stopped && this.#credit.hasRoom) {
      const message = this.#waiting.shift();
      if (message === undefined) break;
      this.#waitingBytes -= message.size;
      const { expires } = message.more;
      if (expires !== undefined && expires <= now) continue;
      this.#credit.take(message.size);
      batch.push(message);
    }
    if (batch.length > 0) this.#sink.deliver(batch);
  }

  #sayDropped(): void {
    const count = this.#dropped;
    this.#dropped = 0;
    if (!this.#stopped) this.#sink.lost(count, whyDropped);
  }
}

const graceMs = 250;
