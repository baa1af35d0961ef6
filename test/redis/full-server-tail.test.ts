import { expect, it } from "vitest";
import { until } from "../../src/testing/index.ts";
import { consume } from "../support/driver-harness.ts";
import { has, minute, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

it.skipIf(server === undefined)(
  "a tail that is opened while the server is full does not wait for the read of another one to end",
  async () => {
    const one = await server!.connection(freshPrefix(), { blockMs: minute });
    await stored(one, ["1"]);
    const tail = { kind: "tail", stream: "events", resume: undefined } as const;
    const first = await consume(one, { ...tail, from: { at: "oldest" } });
    await first.consumption.wants([">"], []);
    await has(first, 1);
    const reads = async (): Promise<boolean> =>
      String(await server!.command("CLIENT", "LIST")).includes("cmd=xread") &&
      String(await server!.command("INFO", "clients")).includes("blocked_clients:1");
    await until(reads, "it to wait for more");
    await server!.command("CONFIG", "SET", "maxmemory", "1");
    try {
      const second = await consume(one, { ...tail, from: { at: "oldest" } });
      await second.consumption.wants([">"], []);
      await has(second, 1);
      expect(second.sink.texts).toEqual(["1"]);
    } finally {
      await server!.command("CONFIG", "SET", "maxmemory", "0");
    }
  },
);
