import type { Consumption, InMessage, Sink, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { mostWaiting, mostWaitingBytes, whyDropped } from "../../internal/direct-bounds.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import type { DirectMessage } from "./direct-frame.ts";
import type { DirectLane } from "./direct-lane.ts";

/** A listener on the direct lane, or an inbox. What its window has no room for waits here, within bounds. */
export class DirectConsumer extends AckOnly implements Consumption {
  readonly group: string | undefined;
  readonly address: string | undefined;
  /** Of its row; another one after a crash of the server. */
  id = 0;
  patterns: readonly string[] = [];
  answers: readonly string[] = [];
  /** As its row says: whether what is announced is heard. */
  hears: boolean | undefined = undefined;
  readonly #lane: DirectLane;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #waiting = new Fifo<DirectMessage>();
  #waitingBytes = 0;
  #state: "open" | "stopped" | "closed" = "open";

  constructor(lane: DirectLane, group: string | undefined, address: string | undefined, sink: Sink, window: Window) {
    super("postgres", "direct");
    this.#lane = lane;
    this.group = group;
    this.address = address;
    this.#sink = sink;
    this.#credit = new Credit(window);
  }

  /** There is room for more. */
  get open(): boolean {
    return this.#state === "open" && this.#waiting.length < mostWaiting && this.#waitingBytes < mostWaitingBytes;
  }

  get stopped(): boolean {
    return this.#state !== "open";
  }

  offer(direct: DirectMessage): void {
    if (!this.open) {
      if (direct.message.replyTo === undefined) this.#sink.lost(1, whyDropped);
      return;
    }
    this.#waiting.push(direct);
    this.#waitingBytes += direct.message.size;
    this.#pump();
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#pump();
  }

  wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    this.patterns = patterns;
    this.answers = answers;
    return this.#lane.wants(this);
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly RowMessage[]);
    this.#pump();
  }

  /** Nobody chooses it any more; what waits is gone, as is said of this lane. */
  async stop(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "stopped";
    await this.#lane.leave(this);
  }

  async close(): Promise<void> {
    await this.stop();
    this.#state = "closed";
  }

  #pump(): void {
    const now = this.#lane.now();
    const messages: RowMessage[] = [];
    while (this.#state === "open" && this.#waiting.length > 0 && this.#credit.hasRoom) {
      const { message, expires } = this.#waiting.shift()!;
      this.#waitingBytes -= message.size;
      if (expires !== undefined && expires <= now) continue;
      this.#credit.take(message.size);
      messages.push(message);
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }
}
