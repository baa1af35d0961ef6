import { Consumer, Producer } from "@platformatic/kafka";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { KafkaApi } from "../../src/drivers/kafka/client.ts";
import { partly } from "../../src/drivers/kafka/cluster.ts";
import { apiIdOf } from "../../src/drivers/kafka/errors.ts";
import { until } from "../../src/testing/until.ts";
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
    // it is stored, and the broker learns of it a moment later
    await until(async () => {
      const { topics } = await link.ask(module.metadataV12, [[name], false, false], timeoutMs);
      return topics[0]?.partitions.length === count;
    }, "the partitions to be there");
  } finally {
    link.destroy();
  }
}

/** kafka-consumer-groups.sh --reset-offsets: of a group without members, by partition. */
export async function commitForeign(
  broker: Broker,
  group: string,
  topic: string,
  offsets: readonly number[],
): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const partitions = offsets.map((offset, partitionIndex) => ({
      ...{ partitionIndex, committedOffset: BigInt(offset), committedLeaderEpoch: -1, committedMetadata: "" },
    }));
    const asked = [{ name: topic, partitions }];
    const commit = async (): Promise<boolean> => {
      await link.ask(module.findCoordinatorV6, [0, [group]], timeoutMs); // the first who asks has it made
      await link.ask(module.offsetCommitV9, [group, -1, "", null, asked], timeoutMs);
      return true;
    };
    // a coordinator that was made a moment ago loads first
    await until(
      () =>
        commit().catch((error: unknown) => {
          if (apiIdOf(error) === "UNKNOWN_MEMBER_ID") throw error;
          return false;
        }),
      "the offsets to be taken",
    );
  } finally {
    link.destroy();
  }
}

/** kafka-consumer-groups.sh --describe: what is committed, by partition. */
export async function committedOf(broker: Broker, group: string, topic: string): Promise<ReadonlyMap<number, number>> {
  const { module, link } = await testLink(broker);
  try {
    const asked = [{ groupId: group, memberEpoch: -1 as const, topics: null }];
    const { groups } = await link.ask(module.offsetFetchV9, [asked, false], timeoutMs);
    const found = groups[0]?.topics.find(({ name }) => name === topic);
    return new Map(
      (found?.partitions ?? []).map(({ partitionIndex, committedOffset }) => [partitionIndex, Number(committedOffset)]),
    );
  } finally {
    link.destroy();
  }
}

/** What a group's members are, as any tool sees them. */
export async function membersOf(broker: Broker, group: string): Promise<readonly string[]> {
  const { module, link } = await testLink(broker);
  try {
    const { groups } = await link.ask(module.describeGroupsV5, [[group], false], timeoutMs);
    return groups.flatMap(({ members }) => members.map(({ memberId }) => memberId));
  } finally {
    link.destroy();
  }
}

/** How many are of the newer protocol. */
export async function newMembersOf(broker: Broker, group: string): Promise<number> {
  const { module, link } = await testLink(broker);
  try {
    const { groups } = await partly(link.ask(module.consumerGroupDescribeV0, [[group], false], timeoutMs));
    return groups.reduce((sum, { members }) => sum + members.length, 0);
  } finally {
    link.destroy();
  }
}

/** Another program that is a member of a group, and takes what it is given. */
export async function joinForeign(
  broker: Broker,
  groupId: string,
  topic: string,
  groupProtocol: "classic" | "consumer" = "classic",
): Promise<{ close(): Promise<void> }> {
  const consumer = new Consumer({
    ...{ groupId, groupProtocol, clientId: "another-program", retries: 20 },
    bootstrapBrokers: [`127.0.0.1:${broker.servers[0]?.port}`],
  });
  const stream = await consumer.consume({ topics: [topic], mode: "committed", fallbackMode: "earliest" });
  stream.resume();
  return {
    close: async () => {
      await stream.close();
      await consumer.close(true);
    },
  };
}

/** kafka-features.sh upgrade: so that members may be of the newer protocol, which a broker that was made by hand doesn't have on. */
export async function allowNewGroups(broker: Broker): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const { updateFeaturesV1 } = module as unknown as {
      readonly updateFeaturesV1: { readonly api: KafkaApi<readonly unknown[], unknown> };
    };
    const wanted = [{ feature: "group.version", maxVersionLevel: 1, upgradeType: 1 }];
    await link.ask(updateFeaturesV1, [timeoutMs, wanted, false], timeoutMs * 2);
  } finally {
    link.destroy();
  }
}
