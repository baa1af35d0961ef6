import { describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, numbered, outgoing, toTopic } from "../support/driver-harness.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

describe.skipIf(broker === undefined)("the past of a new group", () => {
  it.each([0, 1, 300])("is copied once though who copies closes when %i of it are there", async (least) => {
    const prefix = freshPrefix();
    const join = () => connectTo(rabbitmq({ url: broker!.url }), { prefix });
    const { connection } = await join();
    await connection.ensureStream({ name: "events", topics: [">"] });
    const texts = numbered(900);
    const sent = texts.map((text) => outgoing(toTopic("a"), text));
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    await connection.ensureGroup(groupSpec("g", { from: { at: "oldest" } }));
    const session = await openSession(broker!.url, prefix);
    const queue = session.names.group("g", "events");
    const copied = async (): Promise<number> =>
      (await session.ask((channel) => channel.checkQueue(queue))).messageCount;
    await until(async () => (await copied()) >= least, "the first of it");
    await connection.close(AbortSignal.timeout(5_000));
    const { connection: next } = await join();
    await next.ensureGroup(groupSpec("g", { from: { at: "oldest" } }));
    const { sink } = await joinGroup(next, "g");
    await until(
      () => sink.messages.length >= texts.length,
      () => `all; ${sink.messages.length} came`,
    );
    const before = sink.messages.length;
    await new Promise((resolve) => setTimeout(resolve, 400)); // the copying of the rest is over by then
    expect([before, sink.messages.length, new Set(sink.texts).size]).toEqual([900, 900, 900]);
    await next.close(AbortSignal.timeout(2_000));
    await session.close(AbortSignal.timeout(2_000));
  });
});
