import { describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { until } from "../../src/testing/until.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { consume, groupSpec, joinGroup, publish, type TestConsumption } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
const events = { name: "events", topics: [">"], partitions: 2 };

async function outcomeOf(connection: DriverConnection, text: string): Promise<string> {
  const [sent] = publish(connection, [text]);
  await until(() => sent!.outcome !== "waiting", "an outcome");
  return sent!.outcome;
}

describe.skipIf(broker === undefined)("a stream that was deleted", () => {
  it.each(["none", "group"] as const)(
    "is read from its beginning when it is made anew, by groups of order %s",
    async (order) => {
      const options = { url: broker!.url, schema: await freshSchema(broker!.servers[0]!.port) };
      const [{ connection }, other] = [await connectPostgres(options), await connectPostgres(options)];
      await connection.ensureStream(events);
      await connection.ensureGroup(groupSpec("here", { order }));
      await connection.ensureGroup(groupSpec("away", { order }));
      const { sink } = await joinGroup(connection, "here");
      expect(await outcomeOf(connection, "before")).toBe("stored");
      await until(() => sink.texts.includes("before"), "it to be delivered");
      expect(await connection.admin.deleteStream("events")).toBe(true);
      expect(await outcomeOf(connection, "into nothing")).toBe("no"); // it was meant to go
      await other.connection.ensureStream(events);
      expect(await outcomeOf(other.connection, "after")).toBe("stored");
      await until(() => sink.texts.includes("after"), "what came after it");
      const away = await joinGroup(other.connection, "away");
      await until(() => away.sink.texts.includes("after"), "what came after it, by a group that was away");
      await until(() => sink.losses.length > 0, "the loss to be said");
      expect(sink.losses).toEqual([{ count: undefined, reason: expect.stringMatching(/deleted/) }]);
    },
  );

  it("by hand is made again by whoever publishes to it and needs it, and by nobody else", async () => {
    const port = broker!.servers[0]!.port;
    const options = { url: broker!.url, schema: await freshSchema(port) };
    const [{ connection }, other] = [await connectPostgres(options), await connectPostgres(options, { manage: "off" })];
    await connection.ensureStream(events);
    expect(await outcomeOf(connection, "before")).toBe("stored");
    expect(await outcomeOf(other.connection, "before")).toBe("stored");
    await postgresCommand(port, `DELETE FROM ${options.schema}.omnibus_log`);
    await postgresCommand(port, `DELETE FROM ${options.schema}.omnibus_stream`);
    expect(await outcomeOf(other.connection, "after")).toBe("no");
    expect(await outcomeOf(connection, "after")).toBe("stored");
    expect(await outcomeOf(other.connection, "after")).toBe("stored");
  });

  it("of its rows alone hides nothing new from groups that were further", async () => {
    const port = broker!.servers[0]!.port;
    const options = { url: broker!.url, schema: await freshSchema(port) };
    const { connection } = await connectPostgres(options);
    await connection.ensureStream(events);
    const joined: TestConsumption[] = [];
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order }));
      joined.push(await joinGroup(connection, order));
    }
    for (let n = 0; n < 3; n += 1) expect(await outcomeOf(connection, `${n}`)).toBe("stored");
    await until(() => joined.every(({ sink }) => sink.messages.length === 3), "all to be delivered");
    for (const { sink, consumption } of joined) {
      consumption.ack(sink.messages);
      await consumption.flush();
    }
    await postgresCommand(port, `TRUNCATE ${options.schema}.omnibus_log`);
    expect(await outcomeOf(connection, "after")).toBe("stored");
    await until(() => joined.every(({ sink }) => sink.texts.at(-1) === "after"), "what came after it");
  });

  it("of its rows alone hides nothing new from a tail, which says it", async () => {
    const port = broker!.servers[0]!.port;
    const options = { url: broker!.url, schema: await freshSchema(port) };
    const { connection } = await connectPostgres(options);
    await connection.ensureStream(events);
    const from = { at: "oldest" } as const;
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from,
      resume: undefined,
    });
    for (let n = 0; n < 3; n += 1) expect(await outcomeOf(connection, `${n}`)).toBe("stored");
    await until(() => sink.messages.length === 3, "all to be delivered");
    consumption.ack(sink.messages);
    await postgresCommand(port, `TRUNCATE ${options.schema}.omnibus_log`);
    expect(await outcomeOf(connection, "after")).toBe("stored");
    await until(() => sink.texts.at(-1) === "after", "what came after it");
    expect(sink.losses).toEqual([{ count: undefined, reason: expect.stringMatching(/emptied/) }]);
  });
});
