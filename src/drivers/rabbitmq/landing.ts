import type { AmqpDelivery, AmqpFields, AmqpProperties } from "./client.ts";
import { Holder } from "./holder.ts";
import type { PutError } from "./publisher.ts";
import type { Session } from "./session.ts";
import type { StoredStream } from "./stream-plan.ts";
import { decodeHeaders, expirationOf, openProperties, splitPlace, type WireHeaders } from "./wire.ts";
import { cutDelay } from "./delays.ts";
import type { Definitions } from "./definitions.ts";

const prefetch = 1_024;
const againMs = 250;
const refusedAgainMs = 5_000;
const sayMs = 1_000;
const longestHoldMs = 2_000;

/** What is published later: held for its last second by the one process that is active, then published into its stream. */
export class Landing {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #waiting = new Map<AmqpDelivery, Disposable>();
  /** Streams of which that was said. */
  readonly #unkept = new Set<string>();
  #holder: Holder | undefined;
  #retry: Disposable | undefined;
  #saying: Disposable | undefined;
  #strandings = 0;
  #closed = false;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#definitions = definitions;
  }

  async start(): Promise<void> {
    const holder = await Holder.open(this.#session, {
      message: (raw, queue) => {
        if (queue === this.#session.names.own("y")) this.#stranded(holder, raw);
        else this.#take(holder, raw);
      },
      ended: () => this.#again(),
      cancelled: () => this.#again(),
    });
    this.#holder = holder;
    if (this.#closed) return void holder.close();
    await holder.consume(this.#session.names.own("z"), prefetch);
    await holder.consume(this.#session.names.own("y"), 100);
  }

  /** Of those that are to be published soon: where. */
  places(): readonly { readonly stream: string; readonly topic: string }[] {
    return [...this.#waiting.keys()].map(({ properties }) => {
      const { s = "", o = "" } = (properties.headers ?? {}) as WireHeaders;
      return { stream: s, topic: splitPlace(o).topic };
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#drop();
    this.#retry?.[Symbol.dispose]();
    this.#saying?.[Symbol.dispose]();
    await this.#holder?.close();
  }

  #again(): void {
    this.#drop();
    if (this.#closed) return;
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#session.clock.after(againMs, () => {
      this.start().catch(() => this.#again());
    });
  }

  #drop(): void {
    for (const timer of this.#waiting.values()) timer[Symbol.dispose]();
    this.#waiting.clear();
  }

  /** Its group is gone, and so is what was to come to it. */
  #stranded(holder: Holder, raw: AmqpDelivery): void {
    holder.done(raw.fields.deliveryTag);
    this.#strandings += 1;
    this.#saying ??= this.#session.clock.after(sayMs, () => {
      this.#saying = undefined;
      const messages = this.#strandings;
      this.#strandings = 0;
      this.#session.context.warn("rabbitmq: what was delayed is dropped: its group was deleted", { messages });
    });
  }

  #take(holder: Holder, raw: AmqpDelivery): void {
    const { clock } = this.#session;
    const { d = 0 } = (raw.properties.headers ?? {}) as WireHeaders;
    const left = d - clock.now();
    this.#waiting.set(
      raw,
      clock.after(Math.min(left, longestHoldMs), () => {
        this.#waiting.delete(raw);
        void this.#publish(holder, raw);
      }),
    );
  }

  async #publish(holder: Holder, raw: AmqpDelivery): Promise<void> {
    const { own, clock } = this.#session;
    const { s = "", d = 0, e } = (raw.properties.headers ?? {}) as WireHeaders;
    if (!holder.alive || this.#closed) return;
    if (e !== undefined && e <= clock.now()) return holder.done(raw.fields.deliveryTag);
    const stream = this.#definitions.streams.get(s);
    if (stream === undefined) return await this.#withoutStream(holder, raw, s);
    if (cutDelay(d - clock.now()).bits !== undefined) return this.#take(holder, raw); // longer than all steps together
    try {
      const { to, properties } = this.#asPublished(raw, stream);
      await own.put(to, raw.content, properties);
      holder.done(raw.fields.deliveryTag);
    } catch (error) {
      const { code } = error as PutError;
      if (code === "BUS_NOT_FOUND") this.#refused(s, "no queue is bound for it");
      if (code === "BUS_AUTHENTICATION") this.#refused(s, "this user may not");
      this.#later(holder, raw, code === "BUS_NOT_FOUND" || code === "BUS_AUTHENTICATION" ? refusedAgainMs : againMs);
    }
  }

  /** As `Sender` publishes what is not delayed. */
  #asPublished(
    { properties: { messageId, headers } }: AmqpDelivery,
    { name, attached, maxAgeMs }: StoredStream,
  ): { readonly to: AmqpFields; readonly properties: AmqpProperties } {
    const { k: key, e: expiresAt, h, o = "" } = (headers ?? {}) as WireHeaders;
    const now = this.#session.clock.now();
    if (attached !== undefined)
      return {
        to: { exchange: attached.name, routingKey: splitPlace(o).topic },
        properties: openProperties({ brokerId: messageId ?? "", key, expiresAt, headers: decodeHeaders(h) }, now),
      };
    return {
      to: { exchange: this.#session.names.stream(name), routingKey: o },
      properties: {
        messageId,
        timestamp: Math.floor(now / 1_000),
        deliveryMode: 2,
        expiration: expirationOf(maxAgeMs),
        headers: { k: key, e: expiresAt, h, t: now },
      },
    };
  }

  /** Tried again all the same: a queue may be bound for it, the log made again, a right given. */
  #refused(stream: string, why: string): void {
    if (this.#unkept.has(stream)) return;
    this.#unkept.add(stream);
    this.#session.context.warn(`rabbitmq: what is due is not published: ${why}`, { stream });
  }

  /** Deleted, with what was to come, or one that is not known here yet. */
  async #withoutStream(holder: Holder, raw: AmqpDelivery, stream: string): Promise<void> {
    try {
      await this.#definitions.current();
      if (!this.#definitions.streams.has(stream)) return holder.done(raw.fields.deliveryTag);
    } catch {
      // whether it is there can't be known now
    }
    this.#later(holder, raw);
  }

  #later(holder: Holder, raw: AmqpDelivery, ms = againMs): void {
    if (!holder.alive || this.#closed) return;
    this.#waiting.set(
      raw,
      this.#session.clock.after(ms, () => {
        this.#waiting.delete(raw);
        void this.#publish(holder, raw);
      }),
    );
  }
}
