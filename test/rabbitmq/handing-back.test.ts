import { describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { connectTo, groupSpec, joinGroup, numbered, outgoing, toTopic, until } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

describe.skipIf(broker === undefined)("what a member of RabbitMQ fetched and did not hand out", () => {
  it.each(["group", "none"] as const)("comes to the next one as new, in order %s", async (order) => {
    const prefix = freshPrefix();
    const join = async () => (await connectTo(rabbitmq({ url: broker!.url }), { prefix })).connection;
    const [first, second] = [await join(), await join()];
    await first.ensureStream({ name: "events", topics: [">"], partitions: 1 });
    await first.ensureGroup(groupSpec("g", { order }));
    const texts = numbered(60);
    const sent = texts.map((text) => outgoing(toTopic("a"), text));
    first.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    const one = await joinGroup(first, "g", { messages: 4, bytes: 1_000_000 });
    await until(() => one.sink.messages.length === 4, "the first", 15_000);
    await one.consumption.close(AbortSignal.timeout(5_000));
    const two = await joinGroup(second, "g");
    await until(() => two.sink.messages.length === texts.length, "all of them", 15_000);
    expect(two.sink.messages.map(({ deliveries }) => deliveries)).toEqual(texts.map(() => 1));
    await Promise.all([first, second].map((each) => each.close(AbortSignal.timeout(2_000))));
  });
});
