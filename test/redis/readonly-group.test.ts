import { describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { until as eventually } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, publish } from "../support/driver-harness.ts";
import { countsOf, has, minute, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const any = await testBroker("redis");

describe.skipIf(any === undefined)("a primary that becomes a replica under a group", () => {
  it.each(["group", "none"] as const)(
    "keeps what the group holds: it is acknowledged when the primary is back, and nothing comes twice (order: %s)",
    { timeout: 30_000 },
    async (order) => {
      await using broker = await startBroker("redis", { variant: "replica" });
      const [first, second] = broker.servers.map(({ port }) => port);
      const driver = redis({ url: broker.url, leaseMs: minute, pollMs: 200, socketTimeoutMs: 1_000 });
      const { connection } = await connectTo(driver, { prefix: freshPrefix() });
      try {
        await connection.ensureStream({ name: "events", topics: [">"], partitions: 2 });
        await connection.ensureGroup(groupSpec("g", { order }));
        const member = await joinGroup(connection, "g");
        await stored(connection, ["1", "2", "3"]);
        await has(member, 3);
        await redisCommand(first!, "REPLICAOF", "127.0.0.1", String(second));
        member.consumption.ack(member.sink.messages.slice(0, 2));
        const refused = publish(connection, ["x"]);
        await eventually(() => refused[0]!.outcome !== "waiting", "an answer");
        expect(refused[0]!.outcome).toBe("no");
        await redisCommand(first!, "REPLICAOF", "NO", "ONE");
        await eventually(
          async () => {
            const [sent] = publish(connection, ["4"]);
            await eventually(() => sent!.outcome !== "waiting", "an answer");
            return sent!.outcome === "stored";
          },
          "it to take messages again",
          10_000,
        );
        await has(member, 4);
        member.consumption.ack(member.sink.messages.slice(2));
        await member.consumption.flush();
        expect(member.sink.texts).toEqual(["1", "2", "3", "4"]);
        expect([await countsOf(connection), member.sink.ends]).toEqual([[0, 0], []]);
      } finally {
        await connection.close(AbortSignal.timeout(1_000));
      }
    },
  );
});
