import type { Consumption, InMessage, Sink, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { mostWaiting, mostWaitingBytes, whyDropped } from "../../internal/direct-bounds.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { ClientMessage } from "./client.ts";
import { DirectMessage, isAnswerable } from "./direct-message.ts";
import { Listening } from "./listening.ts";
import { unlessAborted } from "../../internal/unless-aborted.ts";
import type { Session, SessionSubscription } from "./session.ts";
import type { Shared } from "./shared.ts";

const graceMs = 250;

/** A listener on the direct lane, or an inbox. What its window has no room for waits here, within bounds. */
export class DirectConsumer extends AckOnly implements Consumption {
  readonly address: string | undefined;
  readonly #session: Session;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #listening: Listening;
  readonly #answering: Listening;
  readonly #stops: () => void;
  readonly #left: () => void;
  readonly #waiting = new Fifo<DirectMessage>();
  #waitingBytes = 0;
  #dropped = 0;
  #pumping = false;
  #stopping: Promise<void> | undefined;
  #stopped = false;

  /** `stops` is called once, when nothing is to come any more; `left` when it is closed. */
  constructor(
    { session, streams }: Pick<Shared, "session" | "streams">,
    group: string | undefined,
    address: string | undefined,
    sink: Sink,
    window: Window,
    stops: () => void,
    left: () => void,
  ) {
    super("nats", "direct");
    this.#session = session;
    this.address = address;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#stops = stops;
    this.#left = left;
    this.#listening = new Listening(
      session,
      (topic) => session.names.direct(topic),
      group,
      (raw) => this.#take(raw, "message"),
    );
    this.#answering = new Listening(
      session,
      (topic) => session.names.request(topic),
      group,
      (raw) => {
        const captured = session.options.attach.size === 0 ? [] : streams.all.flatMap(({ config }) => config.subjects);
        if (isAnswerable(raw.reply ?? "", session.names.prefix, captured)) this.#take(raw, "request");
      },
    );
  }

  /** What came to the inbox. */
  take(raw: ClientMessage): void {
    this.#take(raw, "answer");
  }

  #take(raw: ClientMessage, as: "request" | "message" | "answer"): void {
    if (this.#stopped) return;
    const message = new DirectMessage(raw, as);
    if (this.#waiting.length >= mostWaiting || this.#waitingBytes >= mostWaitingBytes) {
      this.#dropped += 1;
      if (this.#dropped === 1) this.#session.clock.soon(() => this.#sayDropped());
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
    const over = [...this.#listening.change(patterns), ...this.#answering.change(answers)];
    // While the connection is away there is nothing to wait for: it comes back with these subscriptions.
    if (this.#session.connected) await this.#session.flush();
    if (over.length > 0) await this.#leave(over);
    const refusal = this.#listening.takeRefusal() ?? this.#answering.takeRefusal();
    if (refusal !== undefined) throw refusal.error;
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly DirectMessage[]);
    this.#pump();
  }

  /** The server chooses it no more; what waits is gone, as is said of this lane. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Also by a signal that is aborted already it waits a moment: who asks afterwards is to hear that nobody is there. */
  async close(signal: AbortSignal): Promise<void> {
    const stopping = this.stop();
    await unlessAborted(stopping, signal).catch(() => this.#atMost(graceMs, stopping));
    this.#stopped = true;
    this.#left();
  }

  async #atMost(ms: number, work: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#session.clock.after(ms, resolve);
    await Promise.race([work, promise]).catch(() => undefined); // its subscriptions are taken back by then, or gone
    timer[Symbol.dispose]();
  }

  async #stop(): Promise<void> {
    this.#stops();
    await this.#leave([...this.#listening.change([]), ...this.#answering.change([])]);
    this.#stopped = true;
  }

  /** What is under way to a group's share still comes: nobody else has it. */
  async #leave(over: readonly SessionSubscription[]): Promise<void> {
    for (const subscription of over) void subscription.drain().catch(() => undefined); // gone with the connection
    if (this.#session.connected) await this.#session.flush().catch(() => undefined); // the same
  }

  #pump(): void {
    const messages: DirectMessage[] = [];
    while (!this.#stopped && this.#waiting.length > 0 && this.#credit.hasRoom) {
      const message = this.#waiting.shift()!;
      this.#waitingBytes -= message.size;
      this.#credit.take(message.size);
      messages.push(message);
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }

  #sayDropped(): void {
    const count = this.#dropped;
    this.#dropped = 0;
    if (!this.#stopped) this.#sink.lost(count, whyDropped);
  }
}
