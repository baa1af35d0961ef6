import { describe, expect, it } from "vitest";
import { silence, until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, outgoing, publish, textOf } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 1 };

describe.skipIf(broker === undefined)("what another process publishes", () => {
  it("is heard of at once, without a poll", async () => {
    const schema = await freshSchema(port);
    const options = { url: broker!.url, schema, pollMs: 600_000 };
    const [{ connection }, other] = [await connectPostgres(options), await connectPostgres(options)];
    await connection.ensureStream(events);
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order }));
      const { sink } = await joinGroup(connection, order);
      publish(other.connection, [`for ${order}`]);
      await until(() => sink.texts.includes(`for ${order}`), "what another process published");
      expect(sink.losses).toEqual([]);
    }
  });
});

describe.skipIf(broker === undefined)("a stream that another process makes", () => {
  it("is known where nothing is heard, also when it was made right after we connected", async () => {
    const schema = await freshSchema(port);
    const options = { url: broker!.url, schema, listen: false };
    const [one, other] = [await connectPostgres(options), await connectPostgres(options)];
    await one.connection.ensureStream(events);
    await until(() => other.changes > 0, "it to be told", 5_000);
    expect(one.changes, "told at once").toBe(1);
    await silence(() => one.changes, "told again of what it did itself", 1_500); // a beat is a second
    await other.connection.ensureStream({ ...events, maxAgeMs: 60_000 });
    await until(() => one.changes === 2, "it to be told of another's change", 5_000);
  });
});

describe.skipIf(broker === undefined)("a window smaller than the backlog", () => {
  it.each(["none", "group"] as const)(
    "is filled as it empties, partition by partition, without a poll (order: %s)",
    async (order) => {
      const { connection } = await connectPostgres({
        url: broker!.url,
        schema: await freshSchema(port),
        pollMs: 600_000,
      });
      await connection.ensureStream({ ...events, partitions: 4 });
      await connection.ensureGroup(groupSpec("g", { order }));
      const sent = Array.from({ length: 40 }, (_, n) =>
        outgoing({ kind: "topic", stream: "events", topic: "t" }, `${n}`, { hash: n }),
      );
      connection.send(sent.map(({ message }) => message));
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 3, bytes: 1_000_000 });
      const texts: string[] = [];
      await until(() => {
        const fresh = sink.messages.splice(0);
        texts.push(...fresh.map(textOf));
        if (fresh.length > 0) consumption.ack(fresh);
        return texts.length === 40;
      }, "all to be delivered");
      expect(new Set(texts).size).toBe(40);
    },
  );
});

it.skipIf(broker === undefined)(
  "a look for news while the window is full does not forget what waits",
  { timeout: 30_000 },
  async () => {
    const pollMs = 2_000;
    const { connection } = await connectPostgres({ url: broker!.url, schema: await freshSchema(port), pollMs });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const sent = publish(connection, ["1", "2", "3", "4"]);
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 2, bytes: 1_000_000 });
    await until(() => sink.messages.length === 2, "the window to be full");
    const from = performance.now();
    await until(() => performance.now() - from > pollMs * 1.25, "a look", pollMs * 2);
    consumption.ack(sink.messages.splice(0));
    await until(() => sink.messages.length === 2, "the others, long before the next look", pollMs / 2);
  },
);

it.skipIf(broker === undefined)(
  "what a member held that was closed in a hurry is another's when its lease is over, though its process lives",
  { timeout: 30_000 },
  async () => {
    for (const order of ["none", "group"] as const) {
      const options = { url: broker!.url, schema: await freshSchema(port), leaseMs: 1_000 };
      const [one, other] = [await connectPostgres(options), await connectPostgres(options)];
      await one.connection.ensureStream(events);
      await one.connection.ensureGroup(groupSpec("g", { order }));
      const sent = publish(one.connection, ["1", "2", "3"]);
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      const former = await joinGroup(one.connection, "g");
      await until(() => former.sink.messages.length === 3, "all to be held");
      await former.consumption.close(AbortSignal.abort());
      const { sink } = await joinGroup(other.connection, "g");
      await until(() => sink.messages.length === 3, "all of them", 10_000);
      expect(sink.messages.every(({ deliveries }) => deliveries === 2)).toBe(true);
    }
  },
);
