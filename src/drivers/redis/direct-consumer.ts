import type { Consumption, InMessage, Sink, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { mostWaiting, mostWaitingBytes, whyDropped } from "../../internal/direct-bounds.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { RedisMessage } from "./message.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** What a consumer needs of its lane. */
export interface DirectHost {
  ticks(): number;
  /** Resolves once it is in force. */
  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): Promise<void>;
  /** Resolves when nobody chooses it any more. */
  leave(consumer: DirectConsumer): Promise<void>;
}

interface Waiting {
  readonly message: RedisMessage;
  /** By `Clock.ticks`. */
  readonly until: number;
}

/** A listener on the direct lane, or an inbox. What its window has no room for waits here, within bounds. */
export class DirectConsumer extends AckOnly implements Consumption {
  readonly address: string | undefined;
  readonly group: string | undefined;
  /** Within this process. */
  readonly number: number;
  readonly #host: DirectHost;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #waiting = new Fifo<Waiting>();
  #waitingBytes = 0;
  #lost = 0;
  #pumping = false;
  #stopped = false;
  #stopping: Promise<void> | undefined;

  constructor(
    host: DirectHost,
    number: number,
    source: { readonly group?: string | undefined; readonly address?: string },
    sink: Sink,
    window: Window,
  ) {
    super("redis", "direct");
    this.#host = host;
    this.number = number;
    this.group = source.group;
    this.address = source.address;
    this.#sink = sink;
    this.#credit = new Credit(window);
  }

  take(message: RedisMessage, until: number): void {
    if (this.#stopped) return;
    // what waits for long does not keep all that came with it
    if (this.#credit.outstanding + this.#waiting.length >= this.#credit.window.messages) message.keepBytes();
    this.#waiting.push({ message, until });
    this.#waitingBytes += message.size;
    // the oldest goes
    while (this.#waiting.length > mostWaiting || (this.#waitingBytes > mostWaitingBytes && this.#waiting.length > 1)) {
      this.#waitingBytes -= this.#waiting.shift()!.message.size;
      this.#lost += 1;
    }
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

  wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    return this.#stopping === undefined ? this.#host.wants(this, patterns, answers) : Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly RedisMessage[]);
    this.#pump();
  }

  /** What waits then is gone, as is said of this lane. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async close(signal: AbortSignal): Promise<void> {
    await unlessAborted(
      this.stop().catch(() => undefined), // its channels end with the connection
      signal,
    );
    this.#end();
  }

  async #stop(): Promise<void> {
    try {
      await this.#host.leave(this);
    } finally {
      this.#end();
    }
  }

  #end(): void {
    this.#stopped = true;
    while (this.#waiting.length > 0) this.#waiting.shift();
    this.#waitingBytes = 0;
  }

  #pump(): void {
    if (this.#stopped) return;
    if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      this.#sink.lost(lost, whyDropped);
    }
    const now = this.#host.ticks();
    const messages: RedisMessage[] = [];
    while (this.#waiting.length > 0 && this.#credit.hasRoom) {
      const { message, until } = this.#waiting.shift()!;
      this.#waitingBytes -= message.size;
      if (until <= now) continue;
      this.#credit.take(message.size);
      messages.push(message);
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }
}
