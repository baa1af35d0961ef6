import { connect } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import type { NativeConsumer } from "../../src/drivers/nats/api-types.ts";
import type { ClientMessage, NatsClient } from "../../src/drivers/nats/client.ts";
import { parseReply } from "../../src/drivers/nats/message.ts";
import { changed } from "../../src/testing/changed.ts";

/** Of one consumer: what came through, and how many were kept back. */
interface Count {
  readonly delivered: NativeConsumer["delivered"];
  readonly keptBack: number;
}

/**
 * A connection on which, while it is `behind`, messages of streams of events wait on their way ("late") or come to nobody ("deaf"), and
 * their consumers are said to know nothing of them: as of a server that has stored something and not told its consumers yet. When it is
 * "counting", messages wait and a new consumer that only counts counts none, as on a follower that lags; with "follower" lists are as short.
 */
export class SlowConnection {
  behind: "late" | "deaf" | "counting" | "follower" | undefined = undefined;
  readonly client: NatsClient;
  /** The consumers that were asked for, by the subject of the answer. */
  readonly #asked = new Map<string, string>();
  readonly #counts = new Map<string, Count>();
  readonly #waiting: (() => void)[] = [];

  /** For the rest of this test. `cluster`: as if the server were in one. */
  static async open(servers: string, cluster = false): Promise<SlowConnection> {
    const client = await connect({ servers });
    onTestFinished(() => client.close());
    return new SlowConnection(client as unknown as NatsClient, cluster);
  }

  private constructor(client: NatsClient, cluster: boolean) {
    this.client = changed(client, {
      ...(cluster ? { info: { ...client.info!, cluster: "three" } } : {}),
      publish: (subject, payload, options) => {
        const consumer = /^\$JS\.API\.CONSUMER\.INFO\.([^.]+=(?:s=[^.]+|q)\..+)$/u.exec(subject)?.[1];
        if (consumer !== undefined && options?.reply !== undefined) this.#asked.set(options.reply, consumer);
        const kind = /^\$JS\.API\.CONSUMER\.CREATE\.[^.]+\.([cr])=/u.exec(subject)?.[1];
        if (kind !== undefined && options?.reply !== undefined)
          this.#asked.set(options.reply, kind === "c" ? counting : listing);
        client.publish(subject, payload, options);
      },
      subscribe: (subject, options) =>
        client.subscribe(subject, {
          ...options,
          callback: (error, message) => {
            const pass = (): void => options.callback(error, error === null ? this.#asBefore(message) : message);
            if (error !== null || !this.#isKeptBack(message)) pass();
            else if (this.behind !== "deaf") this.#waiting.push(pass);
          },
        }),
    });
  }

  catchUp(): void {
    this.behind = undefined;
    this.#counts.clear();
    for (const deliver of this.#waiting.splice(0)) deliver();
  }

  #isKeptBack({ reply }: ClientMessage): boolean {
    const delivery = parseReply(reply);
    const streams = this.behind === "follower" ? /^KV_|=(?:s=|q$)/u : /=(?:s=|q$)/u;
    if (delivery === undefined || !streams.test(delivery.stream)) return false;
    const { consumerSequence, sequence } = delivery;
    const consumer = `${delivery.stream}.${delivery.consumer}`;
    const none = { consumer_seq: consumerSequence - 1, stream_seq: sequence - 1 };
    const { delivered, keptBack } = this.#counts.get(consumer) ?? { delivered: none, keptBack: 0 };
    const isBehind = this.behind !== undefined;
    this.#counts.set(
      consumer,
      isBehind
        ? { delivered, keptBack: keptBack + 1 }
        : { delivered: { consumer_seq: consumerSequence, stream_seq: sequence }, keptBack: 0 },
    );
    return isBehind;
  }

  #isNone(consumer: string): boolean {
    if (consumer === counting) return this.behind === "counting" || this.behind === "follower";
    return consumer === listing && this.behind === "follower";
  }

  #asBefore(message: ClientMessage): ClientMessage {
    const consumer = this.#asked.get(message.subject) ?? "";
    const count = this.#counts.get(consumer);
    if (this.behind === undefined || (count === undefined && !this.#isNone(consumer))) return message;
    const info = JSON.parse(Buffer.from(message.data).toString()) as NativeConsumer;
    if (count === undefined) return changed(message, { data: encoded({ ...info, num_pending: 0 }) });
    const before: NativeConsumer = {
      ...info,
      delivered: count.delivered,
      num_ack_pending: info.num_ack_pending - count.keptBack,
      num_pending: 0,
    };
    return changed(message, { data: encoded(before) });
  }
}

const counting = "one that counts";
const listing = "one that lists";
const encoded = (info: NativeConsumer): Uint8Array => Buffer.from(JSON.stringify(info));
