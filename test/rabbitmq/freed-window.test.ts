import { expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, outgoing } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

it.skipIf(broker === undefined)(
  "what a deleted stream held of a member's window is free for the other streams of its group",
  { timeout: 40_000 },
  async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    const streams = ["a", "b"];
    for (const name of streams) await connection.ensureStream({ name, topics: [`${name}.>`], partitions: 1 });
    const reads = streams.map((stream) => ({ stream, patterns: [`${stream}.>`] }));
    await connection.ensureGroup(groupSpec("g", { reads }));
    const { sink } = await joinGroup(connection, "g", { messages: 4, bytes: 1_000_000 });
    const send = async (stream: string): Promise<void> => {
      const sent = Array.from({ length: 4 }, (_, at) =>
        outgoing({ kind: "topic", stream, topic: `${stream}.x` }, `${stream}${at}`),
      );
      connection.send(sent.map(({ message }) => message));
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "what is sent to be stored");
    };
    await send("a");
    await until(() => sink.messages.length === 4, "all of the first stream");
    await send("b");
    expect(sink.texts, "there is room for no more").toHaveLength(4);
    await connection.admin.deleteStream("a");
    await until(
      () => sink.texts.filter((text) => text.startsWith("b")).length === 4,
      () => `the second: ${sink.texts.join()}`,
    );
  },
);
