import type { Consumption, InMessage, Sink, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { mostWaiting, mostWaitingBytes, whyDropped } from "../../internal/direct-bounds.ts";
import { Fifo } from "../../internal/fifo.ts";
import { matchesPattern, withoutCovered } from "../../internal/topic-trie.ts";
import { exactKey } from "./binding-key.ts";
import type { AmqpChannel, AmqpDelivery } from "./client.ts";
import { RabbitMessage } from "./message.ts";
import { quietly } from "./quietly.ts";
import { randomHex } from "./session.ts";
import type { Shared } from "./shared.ts";

type Duty = "e" | "r";
const againMs = 100;
const graceMs = 250;
/** How often one of a group passes on what it does not want. */
const mostPassed = 16;

/** A listener on the direct lane, or an inbox: queues that go with the last who reads them. */
export class DirectConsumer extends AckOnly implements Consumption {
  readonly address: string | undefined;
  readonly #shared: Shared;
  readonly #group: string | undefined;
  readonly #queues: ReadonlyMap<Duty, string>;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #waiting = new Fifo<RabbitMessage>();
  #wanted: Readonly<Record<Duty, readonly string[]>> = { e: [], r: [] };
  #bound: Readonly<Record<Duty, readonly string[]>> = { e: [], r: [] };
  #channel: AmqpChannel | undefined;
  #tags: string[] = [];
  #changing: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #dropped = 0;
  #pumping = false;
  #retry: Disposable | undefined;
  #stopping: Promise<void> | undefined;
  #stopped = false;

  constructor(shared: Shared, group: string | undefined, isInbox: boolean, sink: Sink, window: Window) {
    super("rabbitmq", "direct");
    const { names, clock } = shared.session;
    this.#shared = shared;
    this.#group = group;
    this.#sink = sink;
    this.#credit = new Credit(window);
    const own = names.inbox(randomHex(clock));
    this.address = isInbox ? own : undefined;
    this.#queues =
      group === undefined
        ? new Map([["e", own]])
        : new Map([
            ["e", names.listeners("e", group)],
            ["r", names.listeners("r", group)],
          ]);
  }

  /** The first try rejects; later ones go on by themselves. */
  async open(): Promise<void> {
    const channel = await this.#shared.session.consuming.channel();
    if (this.#stopping !== undefined) return quietly(() => channel.close());
    this.#channel = channel;
    this.#bound = { e: [], r: [] };
    this.#tags = [];
    channel.on("close", () => this.#lost(channel));
    for (const queue of new Set(this.#queues.values())) {
      await channel.assertQueue(queue, { durable: true, autoDelete: true, arguments: { "x-expires": 60_000 } });
      const { consumerTag } = await channel.consume(
        queue,
        (raw) => (raw === null ? quietly(() => channel.close()) : this.#take(raw)),
        {
          noAck: true,
        },
      );
      this.#tags.push(consumerTag);
    }
    await this.#bind();
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#pump();
  }

  async wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    if (this.#stopping !== undefined) return;
    this.#wanted = { e: withoutCovered(patterns), r: withoutCovered(answers) };
    // while the line is away there is nothing to wait for: it comes back with these
    if (this.#channel !== undefined) await this.#bind();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly RabbitMessage[]) {
      if (message.over) continue;
      message.over = true;
      this.#credit.give(message.size);
    }
    this.#pump();
  }

  /** What waits then is gone, as is said of this lane. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Also by a signal that is aborted already it waits a moment: who asks afterwards is to hear that nobody is there. */
  async close(signal: AbortSignal): Promise<void> {
    const stopping = this.stop().catch(() => undefined);
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#shared.session.clock.after(signal.aborted ? graceMs : 10_000, resolve);
    const abort = (): void => resolve();
    if (!signal.aborted) signal.addEventListener("abort", abort, { once: true });
    await Promise.race([stopping, promise]);
    timer[Symbol.dispose]();
    signal.removeEventListener("abort", abort);
    this.#stopped = true;
    this.#shared.left(this);
  }

  async #stop(): Promise<void> {
    this.#retry?.[Symbol.dispose]();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) {
      try {
        for (const tag of this.#tags) await channel.cancel(tag);
        await channel.close();
      } catch {
        // gone with the line, and the queues with it
      }
    }
    this.#stopped = true;
    while (this.#waiting.length > 0) this.#waiting.shift();
  }

  /** One change after the other: what is new first, so that nothing is missed between. */
  #bind(): Promise<void> {
    const bound = this.#changing.catch(() => undefined).then(() => this.#bindNow());
    this.#changing = bound;
    return bound;
  }

  async #bindNow(): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined) return;
    const { names } = this.#shared.session;
    const wanted = this.#wanted;
    for (const duty of ["e", "r"] as const) {
      const queue = this.#queues.get(duty) ?? this.#queues.get("e")!;
      const before = this.#bound[duty];
      for (const pattern of wanted[duty])
        if (!before.includes(pattern)) await channel.bindQueue(queue, names.own(duty), exactKey(pattern));
      this.#bound = { ...this.#bound, [duty]: [...new Set([...before, ...wanted[duty]])] };
      const over = before.filter((pattern) => !wanted[duty].includes(pattern));
      if (over.length === 0 || !(await this.#isAlone(queue))) continue;
      for (const pattern of over) await channel.unbindQueue(queue, names.own(duty), exactKey(pattern));
      this.#bound = { ...this.#bound, [duty]: wanted[duty] };
    }
  }

  /** Others of the group may want it still. */
  async #isAlone(queue: string): Promise<boolean> {
    if (this.#group === undefined) return true;
    return (await this.#channel?.checkQueue(queue))?.consumerCount === 1;
  }

  #lost(channel: AmqpChannel): void {
    if (this.#channel !== channel || this.#stopping !== undefined) return;
    this.#channel = undefined;
    this.#again();
  }

  #again(): void {
    this.#retry?.[Symbol.dispose](); // a channel that ends while it begins to consume says so twice
    this.#retry = this.#shared.session.clock.after(againMs, () => {
      if (this.#stopping !== undefined) return;
      this.open().catch(() => {
        if (this.#channel === undefined) this.#again();
        else quietly(() => this.#channel?.close());
      });
    });
  }

  #take(raw: AmqpDelivery): void {
    if (this.#stopped) return;
    const message = new RabbitMessage(raw, {
      lane: this.address === undefined ? "direct" : "inbox",
      stream: undefined,
      deliveries: 0,
    });
    if ((message.expiresAt ?? Number.POSITIVE_INFINITY) <= this.#shared.session.clock.now()) return;
    if (this.address === undefined && !this.#isWanted(message)) return this.#passOn(message);
    this.#waiting.push(message);
    this.#waitingBytes += message.size;
    // the oldest goes
    while (this.#waiting.length > mostWaiting || (this.#waitingBytes > mostWaitingBytes && this.#waiting.length > 1)) {
      this.#waitingBytes -= this.#waiting.shift()!.size;
      this.#dropped += 1;
    }
    if (this.#pumping) return;
    this.#pumping = true;
    // after all that was read with it: one call for many
    this.#shared.session.clock.soon(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #isWanted({ topic, replyTo }: RabbitMessage): boolean {
    return this.#wanted[replyTo === undefined ? "e" : "r"].some((pattern) => matchesPattern(pattern, topic));
  }

  /** Another one of the group wants it. */
  #passOn({ raw, topic, replyTo }: RabbitMessage): void {
    const passed = Number(raw.properties.headers?.["p"] ?? 0);
    if (this.#group === undefined || passed >= mostPassed) return;
    const queue = this.#queues.get(replyTo === undefined ? "e" : "r")!;
    const headers = { ...raw.properties.headers, p: passed + 1, o: topic };
    this.#shared.session.direct
      .put({ exchange: "", routingKey: queue }, raw.content, {
        deliveryMode: 1,
        messageId: raw.properties.messageId,
        expiration: raw.properties.expiration,
        headers,
      })
      .catch(() => undefined); // it may be lost, as is said of this lane
  }

  #pump(): void {
    if (this.#stopped) return;
    if (this.#dropped > 0) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.#sink.lost(dropped, whyDropped);
    }
    const now = this.#shared.session.clock.now();
    const messages: RabbitMessage[] = [];
    while (this.#waiting.length > 0 && this.#credit.hasRoom) {
      const message = this.#waiting.shift()!;
      this.#waitingBytes -= message.size;
      if ((message.expiresAt ?? Number.POSITIVE_INFINITY) <= now) continue;
      this.#credit.take(message.size);
      messages.push(message);
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }
}
