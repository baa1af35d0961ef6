import { describe, expect, it, onTestFinished, vi } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { until } from "../../src/testing/until.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { groupSpec, joinGroup, outgoing, toTopic } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 90_000 });

const broker = await testBroker("postgres", { own: true });
const mega = 1_048_576;
const all = { messages: 1_000, bytes: 64 * mega };

async function filled(connection: DriverConnection, count: number): Promise<void> {
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 4 });
  const body = new Uint8Array(mega).fill(65);
  const sent = Array.from({ length: count }, () => outgoing(toTopic("large"), "", { body }));
  for (const each of sent) {
    connection.send([each.message]);
    await until(() => each.outcome === "stored", "it to be stored");
  }
}

async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const proxy = await FaultProxy.start(broker!.url);
  onTestFinished(() => proxy.close());
  return { proxy, url: proxy.url(broker!.url) };
}

describe.skipIf(broker === undefined)("who reads slowly", () => {
  it("goes on as long as something comes, however long an answer takes", async () => {
    const schema = await freshSchema(broker!.servers[0]!.port);
    const filling = await connectPostgres({ url: broker!.url, schema });
    await filled(filling.connection, 12);
    const { proxy, url } = await proxied();
    const { connection, statuses } = await connectPostgres({ url, schema, socketTimeoutMs: 1_000 });
    await connection.ensureGroup(groupSpec("g"));
    proxy.replies.set({ bytesPerSecond: 3 * mega });
    const { sink } = await joinGroup(connection, "g", all);
    await until(
      () => sink.messages.length === 12,
      () => `all, of which ${sink.messages.length} came`,
      40_000,
    );
    expect(statuses.map(({ type }) => type)).not.toContain("disconnected");
  });

  it.each(["none", "group"] as const)(
    "and then not at all keeps nothing from the others, by an answer that is not taken (order %s)",
    async (order) => {
      const schema = await freshSchema(broker!.servers[0]!.port);
      const here = await connectPostgres({ url: broker!.url, schema, leaseMs: 2_000 });
      await filled(here.connection, 24);
      await here.connection.ensureGroup(groupSpec("g", { order }));
      const { proxy, url } = await proxied();
      const stuck = await connectPostgres({ url, schema, leaseMs: 2_000, socketTimeoutMs: 120_000 });
      await stuck.connection.ensureGroup(groupSpec("g", { order }));
      proxy.replies.set({ bytesPerSecond: 64 * 1_024 }); // as of a process that stands still, soon
      void joinGroup(stuck.connection, "g", all).catch(() => undefined);
      const answering = `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%${schema}%'`;
      const { port } = broker!.servers[0]!;
      await until(async () => (await postgresCommand(port, answering))[0]?.[0] !== "0", "its claim to be answered");
      proxy.replies.set({ bytesPerSecond: 0 });
      const { sink } = await joinGroup(here.connection, "g", all);
      await until(
        () => sink.messages.length === 24,
        () => `all, of which ${sink.messages.length} came`,
        30_000,
      );
    },
  );
});
