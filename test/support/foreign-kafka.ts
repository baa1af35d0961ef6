import { Producer } from "@platformatic/kafka";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { KafkaApi } from "../../src/drivers/kafka/client.ts";
import { testLink } from "./kafka-session.ts";

const timeoutMs = 10_000;

export interface ForeignRecord {
  readonly key?: string;
  /** Undefined: none at all. */
  readonly value?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it says that it was made, in ms since the epoch. */
  readonly at?: number;
}

/** Another program, with a client of its own: stores these in one partition. */
export async function writeForeign(
  broker: Broker,
  topic: string,
  records: readonly ForeignRecord[],
  partition = 0,
): Promise<void> {
  const bytes = (text: string | undefined): Buffer | undefined => (text === undefined ? undefined : Buffer.from(text));
  const producer = new Producer({
    clientId: "another-program",
    bootstrapBrokers: [`127.0.0.1:${broker.servers[0]?.port}`],
  });
  try {
    await producer.send({
      messages: records.map(({ key, value, headers = {}, at }) => ({
        ...{ topic, partition },
        ...(at === undefined ? {} : { timestamp: BigInt(at) }),
        ...(key === undefined ? {} : { key: Buffer.from(key) }),
        ...(value === undefined ? {} : { value: bytes(value)! }),
        headers: new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
      })),
    });
  } finally {
    await producer.close();
  }
}

/** kafka-topics.sh --create */
export async function makeForeignTopic(
  broker: Broker,
  name: string,
  numPartitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const wanted = Object.entries(configs).map(([each, value]) => ({ name: each, value }));
    const topic = { name, numPartitions, replicationFactor: 1, assignments: [] as const, configs: wanted };
    await link.ask(module.createTopicsV7, [[topic], timeoutMs, false], timeoutMs * 2);
  } finally {
    link.destroy();
  }
}

/** kafka-topics.sh --delete */
export async function deleteTopic(broker: Broker, name: string): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    await link.ask(module.deleteTopicsV6, [[{ name }], timeoutMs], timeoutMs * 2);
  } finally {
    link.destroy();
  }
}

/** kafka-configs.sh --alter */
export async function alterTopic(broker: Broker, name: string, config: string, value: string): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const configs = [{ name: config, configOperation: 0 as const, value }];
    const resource = { resourceType: 2 as const, resourceName: name, configs };
    await link.ask(module.incrementalAlterConfigsV1, [[resource], false], timeoutMs);
  } finally {
    link.destroy();
  }
}

/** kafka-topics.sh --alter --partitions */
export async function addPartitions(broker: Broker, name: string, count: number): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const { createPartitionsV3 } = module as unknown as {
      readonly createPartitionsV3: { readonly api: KafkaApi<readonly unknown[], unknown> };
    };
    await link.ask(createPartitionsV3, [[{ name, count, assignments: null }], timeoutMs, false], timeoutMs * 2);
  } finally {
    link.destroy();
  }
}
