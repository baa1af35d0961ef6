import type { Broker } from "../../scripts/brokers/broker.ts";
import { kafka, type KafkaAttachment, type KafkaOptions } from "../../src/drivers/kafka/index.ts";
import { type Bus, type BusOptions, connect } from "../../src/index.ts";
import { plainJson } from "../../src/wire.ts";
import { makeForeignTopic, writeForeign } from "./foreign-kafka.ts";
import { freshPrefix } from "./kafka-session.ts";

interface Options extends BusOptions {
  readonly topics?: readonly string[];
  readonly partitions?: number;
  readonly attach?: KafkaOptions["attach"];
}

export interface Handled {
  readonly topic: string;
  readonly data: unknown;
  readonly key: string | undefined;
}

export const dataOf = (handled: readonly Handled[]): unknown[] => handled.map(({ data }) => data);

/** Of no group: what comes from now on. */
export async function collect(bus: Bus, group?: string, pattern = ">"): Promise<Handled[]> {
  const handled: Handled[] = [];
  await bus.subscribePattern(pattern, ({ topic, data, key }) => void handled.push({ topic, data, key }), {
    ...(group === undefined ? {} : { group, order: "none" }),
  });
  return handled;
}

/** A broker where topics of somebody else's are. */
export class AttachWorld {
  readonly broker: Broker;
  readonly closing: (() => Promise<unknown>)[] = [];

  constructor(broker: Broker) {
    this.broker = broker;
  }

  /** With the stream `orders` at a topic of another name, whose messages are plain JSON. */
  async bus(
    attachment: KafkaAttachment | undefined,
    { topics = [">"], partitions, attach, ...more }: Options = {},
  ): Promise<Bus> {
    const driver = kafka({
      brokers: this.broker.url,
      ...{ sessionTimeoutMs: 6_000, heartbeatMs: 200 },
      attach: attach ?? (attachment === undefined ? {} : { orders: attachment }),
    });
    const bus = await connect({
      driver,
      prefix: freshPrefix(),
      wire: { foreign: [{ topics: ">", format: plainJson({ name: "shop" }), write: true }] },
      streams: [{ name: "orders", topics, ...(partitions === undefined ? {} : { partitions }) }],
      retry: { maxAttempts: 2, backoff: { baseMs: 5, jitter: 0 } },
      ...more,
    });
    this.closing.push(() => bus.close({ timeoutMs: 1_000 }));
    return bus;
  }

  /** A topic of somebody else's with so many messages in each partition. */
  async topic(partitions: number, each = 0): Promise<string> {
    const topic = `shop.${freshPrefix()}.orders`;
    await makeForeignTopic(this.broker, topic, partitions);
    for (let partition = 0; partition < partitions && each > 0; partition += 1)
      await writeForeign(
        this.broker,
        topic,
        Array.from({ length: each }, (_, n) => ({ value: JSON.stringify({ p: partition, n }) })),
        partition,
      );
    return topic;
  }

  async close(): Promise<void> {
    for (const close of this.closing.splice(0)) await close();
  }
}
