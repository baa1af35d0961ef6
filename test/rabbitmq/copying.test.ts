import { describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, numbered, outgoing, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

describe.skipIf(broker === undefined)("the past of a new group", () => {
  it.each([0, 30, 90])("is copied once though who copies closes after %i ms", async (afterMs) => {
    const prefix = freshPrefix();
    const join = () => connectTo(rabbitmq({ url: broker!.url }), { prefix });
    const { connection } = await join();
    await connection.ensureStream({ name: "events", topics: [">"] });
    const texts = numbered(200);
    const sent = texts.map((text) => outgoing(toTopic("a"), text));
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    await connection.ensureGroup(groupSpec("g", { from: { at: "oldest" } }));
    await new Promise((resolve) => setTimeout(resolve, afterMs)); // anywhere in its work
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
    expect([before, sink.messages.length, new Set(sink.texts).size]).toEqual([200, 200, 200]);
    await next.close(AbortSignal.timeout(2_000));
  });
});
