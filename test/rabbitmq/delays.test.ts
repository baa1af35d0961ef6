import { expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, outgoing, toQueue, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

it.skipIf(broker === undefined)(
  "what is due for a group that was deleted stops no other delay",
  { timeout: 30_000 },
  async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    await connection.ensureStream({ name: "events", topics: [">"] });
    await connection.ensureGroup(groupSpec("gone"));
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    const lost = Array.from({ length: 40 }, (_, n) =>
      outgoing(toQueue("gone"), `lost ${n}`, { notBefore: Date.now() + 2_500 }),
    );
    connection.send(lost.map(({ message }) => message));
    await until(
      () => lost.every(({ outcome }) => outcome === "stored"),
      () => `all to be stored: ${String(lost[0]?.error)}`,
    );
    await connection.admin.deleteGroup("gone");
    await new Promise((resolve) => setTimeout(resolve, 3_500)); // they are due, and belong nowhere
    const later = [
      outgoing(toTopic("a"), "to the stream", { notBefore: Date.now() + 1_500 }),
      outgoing(toQueue("g"), "to the group", { notBefore: Date.now() + 1_500 }),
    ];
    connection.send(later.map(({ message }) => message));
    await until(
      () => sink.messages.length === 2,
      () => `both; ${sink.texts.join()} came`,
      8_000,
    );
    expect(sink.texts.toSorted()).toEqual(["to the group", "to the stream"]);
    await connection.close(AbortSignal.timeout(1_000));
  },
);

it.skipIf(broker === undefined)(
  "a delayed send to a group that never was waits for it",
  { timeout: 30_000 },
  async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    await connection.ensureStream({ name: "events", topics: [">"] });
    const sent = outgoing(toQueue("later"), "early", { notBefore: Date.now() + 1_500 });
    connection.send([sent.message]);
    await until(() => sent.outcome === "stored", "it to be stored");
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // it is due
    await connection.ensureGroup(groupSpec("later"));
    const { sink } = await joinGroup(connection, "later");
    await until(() => sink.texts.includes("early"), "it to come");
    await connection.close(AbortSignal.timeout(1_000));
  },
);

it.skipIf(broker === undefined)("what lives longer than the server lets it is stored all the same", async () => {
  const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
  await connection.ensureStream({ name: "events", topics: [">"], maxAgeMs: 20 * 365 * 86_400_000 });
  await connection.ensureGroup(groupSpec("g"));
  const { sink } = await joinGroup(connection, "g");
  const sent = outgoing(toTopic("a"), "for long");
  connection.send([sent.message]);
  await until(
    () => sent.outcome !== "waiting",
    () => `it to be stored: ${String(sent.error)}`,
  );
  expect(sent.outcome).toBe("stored");
  await until(() => sink.texts.includes("for long"), "it to come");
  await connection.close(AbortSignal.timeout(1_000));
});
