import { expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, numbered, outgoing, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

it.skipIf(broker === undefined)(
  "a new group has its past waiting from the first, also while it is not copied",
  async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    await connection.ensureStream({ name: "events", topics: [">"] });
    const sent = numbered(300).map((text) => outgoing(toTopic("a"), text));
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    await connection.ensureGroup(groupSpec("g"));
    for (const end = performance.now() + 1_000; performance.now() < end;) {
      const [state] = await connection.admin.groups();
      expect(state!.waiting).toBeGreaterThanOrEqual(300);
    }
    await until(async () => (await connection.admin.groups())[0]!.waiting === 300, "exactly those");
    await connection.close(AbortSignal.timeout(1_000));
  },
);

it.skipIf(broker === undefined)(
  "a new group has what is live waiting once, also while its past is not copied",
  async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    await connection.ensureStream({ name: "events", topics: [">"] });
    await connection.ensureGroup(groupSpec("g"));
    const sent = numbered(20).map((text) => outgoing(toTopic("a"), text));
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    for (const end = performance.now() + 1_000; performance.now() < end;) {
      const [state] = await connection.admin.groups();
      expect(state!.waiting).toBe(20);
    }
    await connection.close(AbortSignal.timeout(1_000));
  },
);
