import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { apiIdOf } from "../../src/drivers/kafka/errors.ts";
import { kafka, type KafkaOptions } from "../../src/drivers/kafka/index.ts";
import {
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { until as eventually } from "../../src/testing/until.ts";
import { inFrontOfKafka } from "../support/kafka-proxied.ts";
import { batchesOf, freshPrefix, testLink } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const slow = 15_000;

async function opened(options: KafkaOptions, prefix = freshPrefix()): Promise<DriverConnection> {
  const { connection } = await connectTo(kafka({ brokers: broker!.url, ...options }), { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(1_000)));
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
  return connection;
}

/** The batches in which texts of one turn were written. */
async function written(options: KafkaOptions, texts: readonly string[]): ReturnType<typeof batchesOf> {
  const prefix = freshPrefix();
  const connection = await opened(options, prefix);
  const sent = publish(connection, texts);
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored", slow);
  return await batchesOf(broker!, `${prefix}.s.events`);
}

/** What Kafka says of a group's members. */
async function described(prefix: string, group: string): Promise<{ readonly clientId: string }[]> {
  const { module, link } = await testLink(broker!);
  try {
    const { groups } = await link.ask(module.describeGroupsV5, [[`${prefix}.${group}`], false], 5_000);
    return groups.flatMap(({ members }) => members as unknown as { readonly clientId: string }[]);
  } finally {
    link.destroy();
  }
}

/** How often the broker answers to a connection. */
async function counted(
  options: KafkaOptions,
): Promise<{ readonly connection: DriverConnection; readonly answers: () => number }> {
  let answers = 0;
  const proxy = await FaultProxy.start(broker!.url, {
    rewriteReply: (reply, port) => {
      answers += 1;
      return inFrontOfKafka(reply, broker!.url, port);
    },
  });
  const connection = await opened({ ...options, brokers: proxy.url(broker!.url) });
  closing.push(() => proxy.close());
  return { connection, answers: () => answers };
}

/** Of two that have nothing to do. */
async function assertMoreOften(often: () => number, seldom: () => number): Promise<void> {
  let from: readonly [number, number] = [0, 0];
  const since = (): readonly [number, number] => [often() - from[0], seldom() - from[1]];
  // what it takes to begin is over by then, and what both have beside it is less
  await eventually(
    async () => {
      from = [often(), seldom()];
      await eventually(() => since()[0] >= 40, "answers", slow);
      return since()[1] < since()[0] / 2;
    },
    () => `${since().join(" and ")} answers`,
    slow,
  );
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(broker === undefined)("the options of the Kafka driver", () => {
  it("option: KafkaOptions.brokers, KafkaOptions.username, KafkaOptions.password, KafkaOptions.mechanism: say what contradicts itself", () => {
    for (const [options, text] of [
      [{ brokers: "http://here" }, /brokers must look like/],
      [{ brokers: "kafka://a:b@here", username: "a", password: "b" }, /"username" stands in the url already/],
      [{ username: "a" }, /"username" and "password" go together/],
      [{ mechanism: "plain" }, /"mechanism" needs a "username"/],
      [{ mechanism: "md5" }, /"mechanism" must be one of/],
      [{ broker: "here" }, /did you mean "brokers"/],
    ] as const)
      expect(() => kafka(options as KafkaOptions)).toThrow(text);
  });

  it("option: KafkaOptions.tls, KafkaTlsOptions.caFile, KafkaTlsOptions.certFile, KafkaTlsOptions.keyFile, KafkaTlsOptions.passphrase, KafkaTlsOptions.serverName: name what can't be read", async () => {
    expect(() => kafka({ tls: { certFile: "a" } })).toThrow(/"certFile" and "keyFile" together/);
    for (const tls of [{ caFile: "/none" }, { certFile: "/none", keyFile: "/none", passphrase: "x", serverName: "y" }])
      await expect(connectTo(kafka({ brokers: broker!.url, tls }))).rejects.toMatchObject({
        code: "BUS_INVALID_OPTION",
      });
  });

  it("option: KafkaOptions.maxMessageBytes: is sent, stored and handled, which is refused without it", async () => {
    const body = new Uint8Array(9_000_000).fill(7);
    const outcomeOf = async (options: KafkaOptions): Promise<string | undefined> => {
      const connection = await opened(options);
      await connection.ensureStream({ name: "large", topics: ["large.>"], partitions: 1 });
      await connection.ensureGroup(groupSpec("g", { stream: "large" }));
      const sent = outgoing(toTopic("large.one", "large"), "", { body });
      connection.send([sent.message]);
      await until(() => sent.outcome !== "waiting", "an outcome");
      if (sent.outcome !== "stored") return (sent.error as { readonly code?: string }).code;
      const { sink } = await joinGroup(connection, "g", { messages: 10, bytes: 2 * body.byteLength });
      await until(() => sink.messages.length === 1, "it to come back", 20_000);
      expect(Buffer.compare(sink.messages[0]!.body, body)).toBe(0);
      return "stored";
    };
    expect(await outcomeOf({ maxMessageBytes: 10_000_000 })).toBe("stored");
    expect(await outcomeOf({})).toBe("BUS_TOO_LARGE");
  });

  it("option: KafkaOptions.clientId is what brokers know the process by", async () => {
    for (const [clientId, wanted] of [
      ["billing", "billing"],
      [undefined, /\/test$/],
    ] as const) {
      const prefix = freshPrefix();
      const connection = await opened({ clientId }, prefix);
      await connection.ensureGroup(groupSpec("g"));
      await joinGroup(connection, "g");
      let found: string | undefined;
      // a coordinator that was made a moment ago loads first
      await eventually(
        async () => (found = (await described(prefix, "g").catch(() => []))[0]?.clientId) !== undefined,
        "a member",
      );
      expect(found).toMatch(wanted);
    }
  });

  it("option: KafkaOptions.acks: 0 has no position and is not durable, 1 and all have one", async () => {
    for (const acks of [0, 1, "all"] as const) {
      const connection = await opened({ acks });
      const [sent] = publish(connection, ["1"]);
      await until(() => sent?.outcome === "stored", "it to be stored", slow);
      expect([sent?.position, connection.capabilities.durable]).toEqual(acks === 0 ? [undefined, false] : ["0", true]);
    }
  });

  it("option: KafkaOptions.compression is how batches are packed", async () => {
    for (const [at, compression] of (["none", "gzip", "snappy", "lz4", "zstd"] as const).entries()) {
      const prefix = freshPrefix();
      const connection = await opened({ compression }, prefix);
      publish(connection, ["a".repeat(2_000)]);
      const source = { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined } as const;
      const { sink } = await consume(connection, source);
      await until(() => sink.messages.length === 1, `it to be read, packed by ${compression}`, slow);
      expect(sink.texts).toEqual(["a".repeat(2_000)]);
      const [batch] = await batchesOf(broker!, `${prefix}.s.events`);
      expect((batch?.attributes ?? -1) & 7).toBe(at);
    }
  });

  it("option: KafkaOptions.batchSize, KafkaOptions.batchBytes: are most of one batch", async () => {
    const sizes = (batches: Awaited<ReturnType<typeof written>>): number[] =>
      batches.map(({ records }) => records.length);
    expect(sizes(await written({}, numbered(20)))).toEqual([20]);
    expect(sizes(await written({ batchSize: 7 }, numbered(20)))).toEqual([7, 7, 6]);
    const large = numbered(4).map((text) => text.repeat(1_000));
    expect(sizes(await written({ batchBytes: 2_500 }, large))).toEqual([2, 2]);
  });

  it("option: KafkaOptions.lingerMs waits for others to go with", async () => {
    const prefix = freshPrefix();
    const connection = await opened({ lingerMs: 300 }, prefix);
    const from = performance.now();
    const [first] = publish(connection, ["1"]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    publish(connection, ["2"]);
    await until(() => first?.outcome === "stored", "it to be stored", slow);
    expect(performance.now() - from).toBeGreaterThan(295);
    expect((await batchesOf(broker!, `${prefix}.s.events`))[0]?.records.length).toBe(2);
  });

  it("option: KafkaOptions.deliveryTimeoutMs, KafkaOptions.requestTimeoutMs: end what is not answered", async () => {
    const connection = await opened({ deliveryTimeoutMs: 700, requestTimeoutMs: 300 });
    let before = publish(connection, ["1"])[0];
    await until(
      () => {
        if (before?.outcome === "no" || before?.outcome === "unknown") before = publish(connection, ["1"])[0];
        return before?.outcome === "stored";
      },
      "one to be stored", // the first may be too slow for these limits: it also finds out where the topic is
      slow,
    );
    await broker!.pause();
    try {
      const from = performance.now();
      const [sent] = publish(connection, ["2"]);
      await until(() => sent?.outcome !== "waiting", "it to end", 5_000);
      expect([sent?.outcome, (sent?.error as { readonly code?: string } | undefined)?.code]).toEqual([
        "unknown",
        "BUS_TIMEOUT",
      ]);
      expect(performance.now() - from).toBeLessThan(2_500);
      await expect(connection.ping()).rejects.toBeDefined();
    } finally {
      await broker!.resume();
    }
  });

  it("option: KafkaOptions.connectTimeoutMs bounds a connect that nobody answers", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    closing.push(async () => silent.close());
    const brokers = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const from = performance.now();
    await expect(connectTo(kafka({ brokers, connectTimeoutMs: 200 }))).rejects.toMatchObject({ retryable: true });
    expect(performance.now() - from).toBeLessThan(1_500);
  });

  it("option: KafkaOptions.heartbeatMs is how often a member says that it lives", async () => {
    const joined = async (heartbeatMs: number): Promise<() => number> => {
      const { connection, answers } = await counted({ heartbeatMs, maxWaitMs: 60_000 });
      await connection.ensureGroup(groupSpec("g"));
      await joinGroup(connection, "g");
      return answers;
    };
    await assertMoreOften(await joined(50), await joined(3_000));
  });

  it("option: KafkaOptions.maxWaitMs is how long a broker waits for something to answer with", async () => {
    const following = async (maxWaitMs: number): Promise<() => number> => {
      const { connection, answers } = await counted({ maxWaitMs });
      await consume(connection, { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined });
      return answers;
    };
    await assertMoreOften(await following(20), await following(3_000));
  });

  it("option: KafkaOptions.sessionTimeoutMs, KafkaOptions.heartbeatMs: are the broker's to refuse, and fit into each other", async () => {
    expect(() => kafka({ sessionTimeoutMs: 6_000, heartbeatMs: 3_000 })).toThrow(/must fit three times/);
    const connection = await opened({ sessionTimeoutMs: 1_000, heartbeatMs: 100 });
    await connection.ensureGroup(groupSpec("g"));
    const refusal: unknown = await joinGroup(connection, "g").catch((error: unknown) => error);
    expect(apiIdOf(refusal)).toBe("INVALID_SESSION_TIMEOUT");
  });

  it("option: KafkaOptions.offsetReset is where a group goes on whose place is no more", async () => {
    for (const [offsetReset, wanted] of [
      ["oldest", ["3", "4", "5"]],
      ["newest", ["5"]],
    ] as const) {
      const prefix = freshPrefix();
      const connection = await opened({ offsetReset }, prefix);
      await connection.ensureGroup(groupSpec("g"));
      const sent = publish(connection, ["1", "2", "3", "4"]);
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored", slow);
      const { module, link } = await testLink(broker!);
      const topics = [{ name: `${prefix}.s.events`, partitions: [{ partitionIndex: 0, offset: 2n }] }];
      await link.ask(module.deleteRecordsV2, [topics, 5_000], 5_000);
      link.destroy();
      const { sink } = await joinGroup(connection, "g");
      await until(() => sink.losses.length > 0, "it to be told", slow);
      publish(connection, ["5"]);
      await until(() => sink.texts.at(-1) === "5", "the newest to come", slow);
      expect(sink.texts).toEqual(wanted);
    }
  });

  it("option: KafkaOptions.fetchBytes, KafkaOptions.maxWaitMs: are most of an answer, and how long a broker waits for one", async () => {
    const connection = await opened({ fetchBytes: 1_024, maxWaitMs: 20 });
    const texts = numbered(6).map((text) => text.repeat(70_000));
    for (const text of texts) {
      const [sent] = publish(connection, [text]);
      await until(() => sent?.outcome === "stored", "it to be stored", slow);
    }
    const source = { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined } as const;
    const { sink } = await consume(connection, source);
    await until(() => sink.messages.length === 6, "all to come", slow);
    expect(Math.max(...sink.batches)).toBe(1);
  });

  it("option: KafkaOptions.queuePartitions, KafkaOptions.replicas: are those of the driver's own topics", async () => {
    const prefix = freshPrefix();
    const connection = await opened({ queuePartitions: 3, replicas: 1 }, prefix);
    await connection.ensureGroup(groupSpec("g"));
    const { module, link } = await testLink(broker!);
    const { topics } = await link.ask(module.metadataV12, [[`${prefix}.q.g`], false, false], 5_000);
    link.destroy();
    expect(topics[0]?.partitions.length).toBe(3);
    expect((topics[0]?.partitions[0] as { readonly replicaNodes?: number[] } | undefined)?.replicaNodes?.length).toBe(
      1,
    );
  });
});
