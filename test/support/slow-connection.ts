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
 * their consumers are said to know nothing of them: as of a server that has stored something and not told its consumers yet. As a
 * "follower" it has not stored it yet either, so that messages wait, and what is counted by a new consumer is none.
 */
export class SlowConnection {
  behind: "late" | "deaf" | "follower" | undefined = undefined;
  readonly client: NatsClient;
  /** The consumers that were asked for, by the subject of the answer. */
  readonly #asked = new Map<string, string>();
  readonly #counts = new Map<string, Count>();
  readonly #waiting: (() => void)[] = [];

  /** For the rest of this test. */
  static async open(servers: string): Promise<SlowConnection> {
    const client = await connect({ servers });
    onTestFinished(() => client.close());
    return new SlowConnection(client as unknown as NatsClient);
  }

  private constructor(client: NatsClient) {
    this.client = changed(client, {
      publish: (subject, payload, options) => {
        const consumer = /^\$JS\.API\.CONSUMER\.INFO\.([^.]+=(?:s=[^.]+|q)\..+)$/u.exec(subject)?.[1];
        if (consumer !== undefined && options?.reply !== undefined) this.#asked.set(options.reply, consumer);
        // a consumer that only counts
        if (/^\$JS\.API\.CONSUMER\.CREATE\.[^.]+\.c=/u.test(subject) && options?.reply !== undefined)
          this.#asked.set(options.reply, counting);
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
    if (delivery === undefined || !/=(?:s=|q$)/u.test(delivery.stream)) return false;
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

  #isFollower(consumer: string): boolean {
    return this.behind === "follower" && consumer === counting;
  }

  #asBefore(message: ClientMessage): ClientMessage {
    const consumer = this.#asked.get(message.subject) ?? "";
    const count = this.#counts.get(consumer);
    if (this.behind === undefined || (count === undefined && !this.#isFollower(consumer))) return message;
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
const encoded = (info: NativeConsumer): Uint8Array => Buffer.from(JSON.stringify(info));
